"""Why the gateway does not offer what Triton's clients could ask a Triton for."""

SHARED_MEMORY = "The gateway shares no memory with its callers: send tensors in the request itself."
MODEL_CONTROL = (
    "Models are not loaded or unloaded through the gateway: Triton is private, and its operator "
    "sees to that."
)
TRACE = "The gateway traces with OpenTelemetry (MAQUETTE_OTLP_ENDPOINT), not through this call."
LOGGING = "The gateway's log is set when it starts (MAQUETTE_LOG_FORMAT), not through this call."
