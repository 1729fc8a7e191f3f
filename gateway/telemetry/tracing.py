"""Traces: one for each call, from the caller's through the gateway's spans to Triton's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipeline.errors import DeadlineExceeded, MaquetteError, StageFailed, Unavailable

SERVICE = "maquette-gateway"
EXPORT_SECONDS = 10
FLUSH_SECONDS = 5.0
"""For spans that are still here at the end, whatever the collector does."""
OUR_FAULT = (StageFailed, Unavailable, DeadlineExceeded)
"""A caller's mistake does not make a span of the server's fail."""

QUIET = {
    "opentelemetry.exporter.otlp.proto.grpc.exporter": logging.CRITICAL,
    "opentelemetry.sdk._shared_internal": logging.ERROR,
}
"""Loggers that complain of every batch while the collector is away, and up to which level."""

log = logging.getLogger("maquette.gateway")

_W3C = TraceContextTextMapPropagator()
_SILENT = NoOpTracer()
# At most one. OpenTelemetry's own global can be set once in a process and never taken back.
_providers: list[TracerProvider] = []


class Exporter(OTLPSpanExporter):
    """Sends spans, and logs once that the collector went away and once that it is back."""

    def __init__(self, endpoint: str) -> None:
        plain = not endpoint.startswith("https://")
        super().__init__(endpoint, insecure=plain, timeout=EXPORT_SECONDS)
        # A user and password in the URL stay out of the log.
        self._collector = urlsplit(endpoint).netloc.rpartition("@")[2]
        self._lost = 0
        """Spans since the collector went away."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            if self._lost:
                log.info("traces reach %s again; %d spans were lost", self._collector, self._lost)
            self._lost = 0
        else:
            if not self._lost:
                log.warning(
                    "no traces reach %s: see whether a collector takes OTLP over gRPC there. "
                    "Spans are dropped until then; everything else goes on",
                    self._collector,
                )
            self._lost += len(spans)
        return result


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
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    provider.add_span_processor(BatchSpanProcessor(Exporter(endpoint)))
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


def inject(headers: dict[str, str], begun: Span | None = None) -> dict[str, str]:
    """Add the place of `begun`, or else the current one, to `headers`, and return them.

    Only when the trace is recorded: Triton records whatever is given a place, sampled or not.
    """
    place = begun or trace.get_current_span()
    if place.get_span_context().trace_flags.sampled:
        _W3C.inject(headers, trace.set_span_in_context(place))
    return headers


@contextmanager
def span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
    **attributes: str | int | float | bool,
) -> Iterator[Span]:
    """A span around the block, the parent of those begun within.

    Not around a ``yield`` of an async generator, which may be closed in another context than it
    ran in: see :func:`loose_span`.

    Args:
        context: the parent when it is elsewhere, from :func:`extract`; else the current span.
        attributes: in the words of OpenTelemetry's semantic conventions.
    """
    with (
        loose_span(name, kind, context, **attributes) as begun,
        # Messages repeat what the caller sent, and prompts do not belong in traces.
        trace.use_span(begun, record_exception=False, set_status_on_exception=False),
    ):
        yield begun


@contextmanager
def loose_span(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    context: Context | None = None,
    **attributes: str | int | float | bool,
) -> Iterator[Span]:
    """A span around the block that does not become the current one.

    Only a call from outside begins a trace: what the gateway does by itself, such as trying idle
    models, has no span.
    """
    is_traced = (
        kind is SpanKind.SERVER or trace.get_current_span(context).get_span_context().is_valid
    )
    begun = (tracer() if is_traced else _SILENT).start_span(name, context, kind, attributes)
    try:
        yield begun
    except Exception as error:
        _mark(begun, error)
        raise
    finally:
        begun.end()


def past_spans(parent: Span, seconds: Mapping[str, float]) -> None:
    """Spans of `parent` for stages that ran one after the other and have just ended.

    Args:
        seconds: how long each took, in their order.
    """
    begun = time.time_ns() - _nanoseconds(sum(seconds.values()))
    for name, lasted in seconds.items():
        ended = begun + _nanoseconds(lasted)
        context = trace.set_span_in_context(parent)
        tracer().start_span(name, context, start_time=begun).end(ended)
        begun = ended


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _mark(failed: Span, error: Exception) -> None:
    failed.set_attribute("error.type", type(error).__name__)
    if isinstance(error, OUR_FAULT) or not isinstance(error, MaquetteError):
        failed.set_status(StatusCode.ERROR, type(error).__name__)
