from __future__ import annotations

from dataclasses import fields

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.metrics import OF_PICTURES, Metrics
from gateway.telemetry.outcomes import Scores

CALL = {"grpc_type": "unary", "grpc_service": "maquette.v1", "grpc_method": "GetStyle"}


@pytest.fixture
def metrics():
    return Metrics("1.2.3")


def read(metrics, name: str, **labels: str) -> float | None:
    """The value of one series, as a scraper finds it."""
    body, _ = metrics.exposition()
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_grpc_calls_are_counted_by_what_became_of_them(metrics):
    for code in ("OK", "OK", "NOT_FOUND"):
        metrics.grpc_started("maquette.v1", "GetStyle", "unary")
        metrics.grpc_handled("maquette.v1", "GetStyle", "unary", code, 0.2)
    metrics.grpc_started("maquette.v1", "GetStyle", "unary")

    assert read(metrics, "grpc_server_started_total", **CALL) == 4
    assert read(metrics, "grpc_server_handled_total", **CALL, grpc_code="OK") == 2
    assert read(metrics, "grpc_server_handled_total", **CALL, grpc_code="NOT_FOUND") == 1
    assert read(metrics, "grpc_server_handling_seconds_count", **CALL) == 3
    assert read(metrics, "grpc_server_handling_seconds_sum", **CALL) == pytest.approx(0.6)


def test_http_calls_are_timed_by_route_and_status(metrics):
    metrics.http_handled("GET", "/v1/renders/{id}", 404, 0.03)

    labels = {
        "http_request_method": "GET",
        "http_route": "/v1/renders/{id}",
        "http_response_status_code": "404",
    }
    name = "http_server_request_duration_seconds"
    assert read(metrics, f"{name}_count", **labels) == 1
    assert read(metrics, f"{name}_bucket", **labels, le="0.025") == 0
    assert read(metrics, f"{name}_bucket", **labels, le="0.05") == 1


def test_a_finished_render_tells_its_stages_and_its_step(metrics, timings):
    metrics.render_ended("succeeded", timings, steps=20, scores=[Scores(0.72, 0.0), Scores(0.93)])

    assert read(metrics, "maquette_renders_total", outcome="succeeded") == 1
    assert read(metrics, "maquette_render_seconds_sum") == 5.0
    assert read(metrics, "maquette_step_seconds_sum") == pytest.approx(0.2)
    assert read(metrics, "maquette_stage_seconds_sum", stage="decode") == pytest.approx(0.3)
    assert read(metrics, "maquette_stage_seconds_sum", stage="total") is None
    assert read(metrics, "maquette_structure_f1_count") == 2
    assert read(metrics, "maquette_structure_f1_bucket", le="0.75") == 1
    # Nought counts; what was not measured does not.
    assert read(metrics, "maquette_clip_score_count") == 1
    assert read(metrics, "maquette_style_score_count") == 0


def test_every_score_has_its_histogram():
    assert list(OF_PICTURES) == [field.name for field in fields(Scores)]


def test_a_failed_render_is_counted_and_times_nothing(metrics):
    metrics.render_ended("unavailable", None, steps=20, scores=[])

    assert read(metrics, "maquette_renders_total", outcome="unavailable") == 1
    assert read(metrics, "maquette_render_seconds_count") == 0
    assert read(metrics, "maquette_step_seconds_count") == 0


def test_the_queue_is_asked_at_every_reading(metrics):
    waiting = [3]
    metrics.watch(lambda: waiting[0], lambda: 8)

    assert read(metrics, "maquette_requests_waiting") == 3
    assert read(metrics, "maquette_requests_running") == 8
    waiting[0] = 0
    assert read(metrics, "maquette_requests_waiting") == 0


def test_mended_models_version_and_process(metrics):
    metrics.mended("render")

    assert read(metrics, "maquette_models_mended_total", model="render") == 1
    assert read(metrics, "maquette_build_info", version="1.2.3") == 1
    assert read(metrics, "process_resident_memory_bytes") > 0
    assert read(metrics, "python_gc_collections_total", generation="0") is not None


def test_first_events_are_a_step_up_from_nought(metrics):
    assert read(metrics, "maquette_renders_total", outcome="succeeded") == 0
    assert read(metrics, "maquette_models_mended_total", model="render") == 0


def test_two_gateways_in_one_process_do_not_share_counts(metrics):
    metrics.mended("render")

    assert read(Metrics("1"), "maquette_models_mended_total", model="render") == 0


def test_series_have_no_twins_that_tell_when_they_began(metrics):
    metrics.mended("render")

    assert b"_created" not in metrics.exposition()[0]


def test_the_content_type_is_prometheus_text(metrics):
    assert metrics.exposition()[1].startswith("text/plain; version=")
