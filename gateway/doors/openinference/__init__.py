"""The Open Inference Protocol (KServe v2) over gRPC and REST, for one model: the whole render."""
