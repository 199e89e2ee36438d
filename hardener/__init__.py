"""hardener: train an image classifier to be robust, prove how robust it is, export and serve it."""

__version__ = "0.1.0"
