"""Walks through a package's code, from a function along the calls."""
