"""Traces: one for each call, from the caller's through the gateway's spans to Triton's."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipeline.errors import DeadlineExceeded, MaquetteError, StageFailed, Unavailable

SERVICE = "maquette-gateway"
EXPORT_SECONDS = 10
FLUSH_SECONDS = 5.0
"""For spans that are still here at the end, whatever the collector does."""
OUR_FAULT = (StageFailed, Unavailable, DeadlineExceeded)
"""A caller's mistake does not make a span of the server's fail."""

_W3C = TraceContextTextMapPropagator()
_SILENT = NoOpTracer()
# At most one. OpenTelemetry's own global can be set once in a process and never taken back.
_providers: list[TracerProvider] = []


def configure(endpoint: str | None, version: str) -> None:
    """Send spans to the OTLP collector at `endpoint` from now on; record none when it is None.

    OpenTelemetry's own variables (``OTEL_TRACES_SAMPLER`` and the like) set what is not set here.

    Args:
        endpoint: of its gRPC service: ``http://host:4317``, or ``https://`` for TLS.
        version: the gateway's.
    """
    shutdown()
    if not endpoint:
        return
    resource = Resource.create({"service.name": SERVICE, "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    plain = not endpoint.startswith("https://")
    exporter = OTLPSpanExporter(endpoint, insecure=plain, timeout=EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _providers.append(provider)


def shutdown(seconds: float = FLUSH_SECONDS) -> None:
    """Send what is left, for at most `seconds`, and record nothing more."""
    while _providers:
        # The SDK sets no bound of its own, so a collector that is away would hold the process.
        sending = threading.Thread(target=_providers.pop().shutdown, daemon=True)
        sending.start()
        sending.join(seconds)


def tracer() -> Tracer:
    """What makes the gateway's spans; one that does nothing when nobody collects them."""
    return _providers[-1].get_tracer("maquette.gateway") if _providers else _SILENT


def extract(headers: Mapping[str, str]) -> Context:
    """The caller's place in a trace, from its HTTP headers or gRPC metadata (W3C Trace Context)."""
    return _W3C.extract(headers)


def inject(headers: dict[str, str]) -> dict[str, str]:
    """Add the current place in the trace to `headers`, and return them.

    Only when the trace is recorded: Triton records whatever is given a place, sampled or not.
    """
    if trace.get_current_span().get_span_context().trace_flags.sampled:
        _W3C.inject(headers)
    return headers


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
    **attributes: str | int | float | bool,
) -> Iterator[Span]:
    """A span around the block, the parent of those begun within.

    Args:
        context: the parent when it is elsewhere, from :func:`extract`; else the current span.
        attributes: in the words of OpenTelemetry's semantic conventions.
    """
    with tracer().start_as_current_span(
        name,
        context,
        kind,
        attributes,
        # Messages repeat what the caller sent, and prompts do not belong in traces.
        record_exception=False,
        set_status_on_exception=False,
    ) as begun:
        try:
            yield begun
        except Exception as error:
            _mark(begun, error)
            raise


def _mark(failed: Span, error: Exception) -> None:
    failed.set_attribute("error.type", type(error).__name__)
    if isinstance(error, OUR_FAULT) or not isinstance(error, MaquetteError):
        failed.set_status(StatusCode.ERROR, type(error).__name__)
