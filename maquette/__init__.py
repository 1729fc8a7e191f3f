"""What users hold: the protocol ``maquette.v1`` and the command line."""
