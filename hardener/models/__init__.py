"""The user's model file -> a module that takes [0, 1] images."""
