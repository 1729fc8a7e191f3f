"""The protocol maquette.v1. ``maquette.proto`` is the source; `make protocol` makes the rest."""
