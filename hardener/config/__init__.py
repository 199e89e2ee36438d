"""Recipes: their schema, how they are read, and how people write quantities."""
