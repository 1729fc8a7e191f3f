from __future__ import annotations

import asyncio
import logging

import grpc
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from gateway.telemetry import tracing
from pipeline.errors import NotFound, StageFailed
from tests.gateway.telemetry.collector import attributes, collecting

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
    with tracing.span("call", SpanKind.SERVER):
        pass
    tracing.shutdown()

    assert collector.resource["service.name"] == "maquette-gateway"
    assert collector.resource["service.version"] == "1.2.3"


async def test_a_task_begun_in_a_call_belongs_to_it(collector):
    async def work():
        with tracing.span("work"):
            await asyncio.sleep(0)

    with tracing.span("call", SpanKind.SERVER):
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
    with pytest.raises(type(error)), tracing.span("call", SpanKind.SERVER):
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

    with pytest.raises(NotFound), tracing.span("call", SpanKind.SERVER):
        raise NotFound("there is none")


@pytest.mark.parametrize("sent", [{}, {"traceparent": "nonsense"}, {"traceparent": ""}])
def test_headers_without_a_trace_begin_one(collector, sent):
    with tracing.span("call", SpanKind.SERVER, tracing.extract(sent)):
        pass
    tracing.shutdown()

    assert collector.spans["call"].parent_span_id == b""


def test_a_collector_that_hangs_does_not_hold_the_gateway(collector):
    collector.held.clear()
    with tracing.span("call", SpanKind.SERVER):
        pass
    tracing.shutdown(seconds=0.1)

    assert collector.spans == {}
    assert tracing.inject({}) == {}


def test_work_of_the_gateways_own_begins_no_trace(collector):
    with tracing.span("probe", SpanKind.CLIENT):
        assert tracing.inject({}) == {}
    with tracing.span("call", SpanKind.SERVER), tracing.span("embed", SpanKind.CLIENT):
        pass
    tracing.shutdown()

    assert collector.spans.keys() == {"call", "embed"}


async def test_a_span_around_a_yield_may_end_in_another_context(collector, caplog):
    async def steps():
        with tracing.loose_span("render") as begun:
            tracing.past_spans(begun, {"condition": 0.5, "denoise": 2.0})
            yield tracing.inject({}, begun)

    with tracing.span("call", SpanKind.SERVER):
        left = steps()
        headers = await anext(left)
    await asyncio.create_task(left.aclose())
    await asyncio.to_thread(tracing.shutdown)

    assert caplog.records == []
    render = collector.spans["render"]
    assert render.parent_span_id == collector.spans["call"].span_id
    assert render.span_id.hex() in headers["traceparent"]
    condition, denoise = collector.spans["condition"], collector.spans["denoise"]
    assert condition.parent_span_id == denoise.parent_span_id == render.span_id
    assert condition.end_time_unix_nano == denoise.start_time_unix_nano
    assert denoise.end_time_unix_nano - denoise.start_time_unix_nano == 2_000_000_000


def test_a_dead_collector_is_told_once_and_so_is_its_return(collector, caplog):
    caplog.set_level(logging.INFO)
    provider = TracerProvider()
    exporter = tracing.Exporter(collector.url)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for code in (None, *[grpc.StatusCode.PERMISSION_DENIED] * 3, None, None):
        collector.refusal = code
        provider.get_tracer("test").start_span("call").end()
    provider.shutdown()

    address = collector.url.removeprefix("http://")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", f"no traces reach {address}: see whether a collector takes OTLP over gRPC "
         "there. Spans are dropped until then; everything else goes on"),
        ("INFO", f"traces reach {address} again; 3 spans were lost"),
    ]  # fmt: skip
