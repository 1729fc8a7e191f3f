"""Measures how the served stack performs: each figure against something measured beside it."""
