"""Measures what a pack can do on held-out sketches, styles and phrases."""
