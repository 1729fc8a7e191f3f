"""A running maquette tells what the dashboard and the alerts ask for."""

from __future__ import annotations

import uuid

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from gateway.doors.grpc.servicer import SERVICE_NAME
from tests.gateway.telemetry.queries import all_names, expressions
from tests.integration.stack import wait_until

OF_PROMETHEUS = {"up"}
OF_A_GPU = "nv_gpu_"


@pytest.fixture(scope="module")
def read(live):
    """The samples that Prometheus reads at a path, by metric."""
    with httpx.Client(base_url=f"http://{live.http_address}", trust_env=False) as client:

        def samples(path: str) -> dict[str, list]:
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"].startswith("text/plain")
            found: dict[str, list] = {}
            for family in text_string_to_metric_families(answer.text):
                for sample in family.samples:
                    # The parser gives Triton's counters an ending that they do not have.
                    name = sample.name if sample.name in answer.text else family.name
                    found.setdefault(name, []).append(sample)
            return found

        client.get("/livez").raise_for_status()
        yield samples


def value(samples: list, **labels: str) -> float:
    """The sum over the series that have these labels."""
    return sum(sample.value for sample in samples if labels.items() <= dict(sample.labels).items())


def test_a_running_stack_tells_everything_that_is_asked_for(stub, request_for, read):
    stub.Render(request_for())

    asked = all_names(expressions()) - OF_PROMETHEUS
    of_triton = {name for name in asked if name.startswith("nv_")}
    assert asked - of_triton <= set(read("/metrics"))
    here = {name for name in of_triton if not name.startswith(OF_A_GPU)}
    assert here <= set(read("/metrics/triton"))


def test_a_render_is_counted_once_with_its_steps_and_its_score(stub, request_for, read):
    before = read("/metrics")
    unet = value(read("/metrics/triton")["nv_inference_count"], model="unet")
    stub.Render(request_for(num_inference_steps=3))
    after = read("/metrics")

    def grown(name: str, **labels: str) -> float:
        return value(after[name], **labels) - value(before.get(name, []), **labels)

    assert grown("maquette_renders_total", outcome="succeeded") == 1
    assert grown("maquette_structure_f1_count") == 1
    assert grown("maquette_step_seconds_count") == 1
    assert grown("maquette_stage_seconds_sum", stage="denoise") > 0
    assert grown("grpc_server_handled_total", grpc_method="Render", grpc_code="OK") == 1
    # Two rows a step: with the prompt, and without.
    assert value(read("/metrics/triton")["nv_inference_count"], model="unet") - unet >= 3 * 2


def test_the_queue_is_empty_when_nobody_renders(read):
    samples = read("/metrics")
    assert value(samples["maquette_requests_waiting"]) == 0
    assert value(samples["maquette_requests_running"]) == 0


def test_every_stage_of_a_render_has_its_span(live, stub, request_for):
    trace = uuid.uuid4().hex
    metadata = (("traceparent", f"00-{trace}-{1:016x}-01"),)
    told = stub.Render(request_for(style="", num_images=2), metadata=metadata)

    def named() -> dict[str, Span]:
        return {span.name: span for span in live.collector.traces.get(trace, [])}

    # The gateway sends what has ended every five seconds, and a call's own span ends last.
    wait_until(lambda: f"{SERVICE_NAME}/Render" in named(), 20)
    spans = named()
    call = spans.pop(f"{SERVICE_NAME}/Render")
    stages = {name: spans.pop(name) for name in ("condition", "denoise", "decode")}
    around = {"check", "moderate", "queue", "embed_text", "search", "fetch_style", "encode"}
    assert around | {"render"} <= set(spans)
    assert {span.parent_span_id for span in spans.values()} == {call.span_id}
    assert {span.parent_span_id for span in stages.values()} == {spans["render"].span_id}
    seconds = {name: span.end_time_unix_nano - span.start_time_unix_nano
               for name, span in stages.items()}  # fmt: skip
    assert seconds["denoise"] / 1e9 == pytest.approx(told.timings.denoise_seconds, rel=0.01)
    # Nobody called for the trials of idle models, and readiness is asked for every moment.
    roots = [span.name for spans in live.collector.traces.values() for span in spans
             if not span.parent_span_id]  # fmt: skip
    assert not {"GET /readyz", "embed_text", "embed_image", "render"} & set(roots)
