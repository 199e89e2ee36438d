"""Which network a model file means, and what it is built with."""
