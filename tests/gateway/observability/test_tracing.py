from __future__ import annotations

import asyncio

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.trace import SpanKind

from gateway.observability import tracing
from pipeline.errors import NotFound, StageFailed
from tests.gateway.observability.collector import attributes, collecting

TRACE, PARENT = f"{0xABC:032x}", f"{0xDEF:016x}"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
PROMPT = "a house for Jane Doe"


@pytest.fixture
def collector():
    with collecting() as receiver:
        tracing.configure(receiver.url, "1.2.3")
        yield receiver
        tracing.shutdown()


def test_a_call_continues_its_callers_trace(collector):
    rpc = {"rpc.system": "grpc", "rpc.method": "Render"}
    with (
        tracing.span("Render", SpanKind.SERVER, tracing.extract(SAMPLED), **rpc),
        tracing.span("render", SpanKind.CLIENT),
    ):
        sent = tracing.inject({"triton_grpc_error": "true"})
    tracing.shutdown()

    server, client = collector.spans["Render"], collector.spans["render"]
    assert server.trace_id.hex() == client.trace_id.hex() == TRACE
    assert server.parent_span_id.hex() == PARENT
    assert client.parent_span_id == server.span_id
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert sent["triton_grpc_error"] == "true"
    assert sent["traceparent"] == f"00-{TRACE}-{client.span_id.hex()}-01"
    assert attributes(server) == rpc


def test_spans_say_which_service_they_are_of(collector):
    with tracing.span("call"):
        pass
    tracing.shutdown()

    assert collector.resource["service.name"] == "maquette-gateway"
    assert collector.resource["service.version"] == "1.2.3"


async def test_a_task_begun_in_a_call_belongs_to_it(collector):
    async def work():
        with tracing.span("work"):
            await asyncio.sleep(0)

    with tracing.span("call"):
        task = asyncio.create_task(work())
    await task
    await asyncio.to_thread(tracing.shutdown)

    assert collector.spans["work"].parent_span_id == collector.spans["call"].span_id


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound(PROMPT), Status.STATUS_CODE_UNSET),
        (StageFailed(PROMPT), Status.STATUS_CODE_ERROR),
        (RuntimeError(PROMPT), Status.STATUS_CODE_ERROR),
    ],
)
def test_what_went_wrong_is_named_but_not_quoted(collector, error, status):
    with pytest.raises(type(error)), tracing.span("call"):
        raise error
    tracing.shutdown()

    span = collector.spans["call"]
    assert attributes(span)["error.type"] == type(error).__name__
    assert span.status.code == status
    assert PROMPT.encode() not in span.SerializeToString()


def test_what_the_caller_does_not_sample_is_neither_sent_nor_passed_on(collector):
    with tracing.span("call", SpanKind.SERVER, tracing.extract(UNSAMPLED)):
        assert tracing.inject({}) == {}
    tracing.shutdown()

    assert collector.spans == {}


def test_without_a_collector_the_callers_place_is_passed_on():
    tracing.configure(None, "1.2.3")

    with tracing.span("call", SpanKind.SERVER, tracing.extract(SAMPLED)) as begun:
        assert not begun.is_recording()
        assert tracing.inject({}) == SAMPLED
    assert tracing.inject({}) == {}


def test_without_a_collector_errors_pass_through():
    tracing.configure(None, "1.2.3")

    with pytest.raises(NotFound), tracing.span("call"):
        raise NotFound("there is none")


@pytest.mark.parametrize("sent", [{}, {"traceparent": "nonsense"}, {"traceparent": ""}])
def test_headers_without_a_trace_begin_one(collector, sent):
    with tracing.span("call", SpanKind.SERVER, tracing.extract(sent)):
        pass
    tracing.shutdown()

    assert collector.spans["call"].parent_span_id == b""


def test_a_collector_that_hangs_does_not_hold_the_gateway(collector):
    collector.held.clear()
    with tracing.span("call"):
        pass
    tracing.shutdown(seconds=0.1)

    assert collector.spans == {}
    assert tracing.inject({}) == {}
