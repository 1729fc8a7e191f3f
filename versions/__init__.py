"""Versions of networks in a model repository: what there is, what serves, and how that changes."""
