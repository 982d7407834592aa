"""Changers: one a file."""
