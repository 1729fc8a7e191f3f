"""The gRPC door: ``maquette.v1``, health and reflection."""
