"""An OTLP collector: the real protocol over gRPC, keeping what it is sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_SECONDS = 10


class Collector(service.TraceServiceServicer):
    """Keeps spans by name, and the resource they came with."""

    def __init__(self):
        self.spans: dict[str, Span] = {}
        self.traces: dict[str, list[Span]] = {}
        """The same by the id of their trace, every one of them."""
        self.resource: dict[str, str] = {}
        self.held = threading.Event()
        """While it is clear, answers wait."""
        self.held.set()
        self.refusal: grpc.StatusCode | None = None
        """What it answers, when set."""
        self.url = ""

    def Export(self, request, context):  # noqa: N802 - the protocol's name
        self.held.wait(WAIT_SECONDS)
        if self.refusal:
            context.abort(self.refusal, "not now")
        for sent in request.resource_spans:
            self.resource = {item.key: item.value.string_value for item in sent.resource.attributes}
            for scope in sent.scope_spans:
                self.spans |= {span.name: span for span in scope.spans}
                for span in scope.spans:
                    self.traces.setdefault(span.trace_id.hex(), []).append(span)
        return messages.ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[Collector]:
    server = grpc.server(ThreadPoolExecutor(2))
    collector = Collector()
    service.add_TraceServiceServicer_to_server(collector, server)
    collector.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        collector.held.set()
        server.stop(WAIT_SECONDS).wait()


def attributes(span: Span) -> dict[str, str]:
    return {item.key: item.value.string_value for item in span.attributes}
