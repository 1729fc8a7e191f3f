"""Triton on one machine without containers: its binary, its CPU backend, its life."""
