"""What Prometheus reads from the gateway.

gRPC calls are named as go-grpc-middleware names them, HTTP calls as OpenTelemetry's semantic
conventions do, so that dashboards made for these work here too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from gateway.telemetry.outcomes import RenderOutcome, Scores, Timings
from pipeline import contract

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
"""From an embedding on a GPU to a render on a CPU."""
RENDER_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
STEP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10)
SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1)
"""Finer where renders that keep their sketch lie."""
OF_PICTURES = {
    "structure_f1": "How well pictures keep the edges of their sketch, 0 to 1.",
    "clip_score": "Cosine similarity of pictures and their prompts.",
    "style_score": "Cosine similarity of pictures and their references.",
}
"""The fields of ``Scores``."""

CALL = ("grpc_type", "grpc_service", "grpc_method")
HTTP = ("http_request_method", "http_route", "http_response_status_code")


class Metrics:
    """Counts what doors, renders and repairs report.

    Args:
        version: the gateway's.
    """

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        # Otherwise every series has a twin with the time of its first event.
        disable_created_metrics()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        built = Info("maquette_build", "The gateway that runs.", registry=registry)
        built.info({"version": version})
        self._grpc_started = Counter(
            "grpc_server_started", "gRPC calls begun.", CALL, registry=registry
        )
        self._grpc_handled = Counter(
            "grpc_server_handled", "gRPC calls ended.", (*CALL, "grpc_code"), registry=registry
        )
        self._grpc_seconds = Histogram(
            "grpc_server_handling_seconds",
            "How long gRPC calls took.",
            CALL,
            buckets=SECONDS,
            registry=registry,
        )
        self._http_seconds = Histogram(
            "http_server_request_duration_seconds",
            "How long HTTP calls took.",
            HTTP,
            buckets=SECONDS,
            registry=registry,
        )
        self._waiting = Gauge(
            "maquette_requests_waiting", "Renders that wait for a place.", registry=registry
        )
        self._running = Gauge(
            "maquette_requests_running", "Renders that have a place.", registry=registry
        )
        self._renders = Counter(
            "maquette_renders",
            "Renders ended: succeeded, or the gRPC status they ended with.",
            ("outcome",),
            registry=registry,
        )
        self._render_seconds = Histogram(
            "maquette_render_seconds",
            "How long renders that succeeded took, waiting included.",
            buckets=RENDER_SECONDS,
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "maquette_stage_seconds",
            "How long each stage of a render took.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self._step_seconds = Histogram(
            "maquette_step_seconds",
            "How long a denoising step took, as the mean of its render.",
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self._scores = {
            name: Histogram(f"maquette_{name}", told, buckets=SCORES, registry=registry)
            for name, told in OF_PICTURES.items()
        }
        self._mended = Counter(
            "maquette_models_mended",
            "Times that a served model had died and was started again.",
            ("model",),
            registry=registry,
        )
        self._version_renders = Counter(
            "maquette_versions_renders",
            "Renders by the versions that made them: succeeded or failed; shadows included.",
            ("pinned", "outcome"),
            registry=registry,
        )
        self._version_step_seconds = Histogram(
            "maquette_versions_step_seconds",
            "How long a denoising step took, by the versions that made it.",
            ("pinned",),
            buckets=STEP_SECONDS,
            registry=registry,
        )
        self._version_scores = Histogram(
            "maquette_versions_structure_f1",
            "How well pictures keep the edges of their sketch, by the versions that made them.",
            ("pinned",),
            buckets=SCORES,
            registry=registry,
        )
        # A series that begins with its first event hides that event from rate().
        self._renders.labels("succeeded")
        for model in contract.MODELS:
            self._mended.labels(model)

    def watch(self, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Ask these, whenever Prometheus reads, how many renders wait and run."""
        self._waiting.set_function(waiting)
        self._running.set_function(running)

    def grpc_started(self, service: str, method: str, kind: str) -> None:
        """A gRPC call has begun.

        Args:
            kind: ``unary``, ``server_stream``, ``client_stream`` or ``bidi_stream``.
        """
        self._grpc_started.labels(kind, service, method).inc()

    def grpc_handled(self, service: str, method: str, kind: str, code: str, seconds: float) -> None:
        """A gRPC call has ended.

        Args:
            code: the name of its status, such as ``INVALID_ARGUMENT``.
        """
        self._grpc_handled.labels(kind, service, method, code).inc()
        self._grpc_seconds.labels(kind, service, method).observe(seconds)

    def http_handled(self, method: str, route: str, status: int, seconds: float) -> None:
        """An HTTP call has ended.

        Args:
            route: the template of its path, so that ids do not multiply the series.
        """
        self._http_seconds.labels(method, route, str(status)).observe(seconds)

    def render_ended(
        self, outcome: str, timings: Timings | None, steps: int, scores: Sequence[Scores]
    ) -> None:
        """A render has ended.

        Args:
            outcome: ``succeeded``, or the gRPC status it ended with, in small letters.
            timings: None when it brought no picture.
            scores: of each picture.
        """
        self._renders.labels(outcome).inc()
        for name, histogram in self._scores.items():
            for score in (getattr(each, name) for each in scores):
                if score is not None:
                    histogram.observe(score)
        if timings is None:
            return
        stages = asdict(timings)
        self._render_seconds.observe(stages.pop("total"))
        for stage, seconds in stages.items():
            self._stage_seconds.labels(stage).observe(seconds)
        self._step_seconds.observe(timings.denoise / max(steps, 1))

    def painted(self, pinned: str, went: RenderOutcome | None) -> None:
        """A set of versions has made a render, or failed over it.

        Args:
            pinned: what differs from the exported versions; empty for those.
            went: None when it failed.
        """
        name = pinned or "exported"
        self._version_renders.labels(name, "succeeded" if went else "failed").inc()
        if went:
            self._version_step_seconds.labels(name).observe(went.step_seconds)
            self._version_scores.labels(name).observe(went.structure_f1)

    def mended(self, model: str) -> None:
        """A served model had died and was started again."""
        self._mended.labels(model).inc()

    def exposition(self) -> tuple[bytes, str]:
        """What Prometheus reads, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
