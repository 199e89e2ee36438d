"""Intervals of shares and of paired differences; no torch."""
