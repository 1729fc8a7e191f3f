"""The dashboard and the alerts ask for what there is."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.outcomes import Scores
from tests.gateway.telemetry import queries

PER_MODEL = {"model", "version"}
TRITON = {
    "nv_inference_request_success": PER_MODEL,
    "nv_inference_request_failure": {*PER_MODEL, "reason"},
    "nv_inference_count": PER_MODEL,
    "nv_inference_exec_count": PER_MODEL,
    "nv_inference_request_duration_us": PER_MODEL,
    "nv_inference_queue_duration_us": PER_MODEL,
    "nv_inference_compute_input_duration_us": PER_MODEL,
    "nv_inference_compute_infer_duration_us": PER_MODEL,
    "nv_inference_compute_output_duration_us": PER_MODEL,
    "nv_inference_pending_request_count": PER_MODEL,
    "nv_gpu_utilization": {"gpu_uuid"},
    "nv_gpu_memory_used_bytes": {"gpu_uuid"},
    "nv_gpu_memory_total_bytes": {"gpu_uuid"},
    "nv_gpu_power_usage": {"gpu_uuid"},
}
"""What Triton 24.10 tells, and its labels; tests/integration holds it against a running one."""


@pytest.fixture(scope="module")
def known(timings) -> dict[str, set[str]]:
    """Every metric that Prometheus finds, with its labels."""
    metrics = Metrics("1")
    metrics.grpc_started("maquette.v1.MaquetteService", "Render", "server_stream")
    metrics.grpc_handled("maquette.v1.MaquetteService", "Render", "server_stream", "OK", 1)
    metrics.http_handled("POST", "/v1/renders", 200, 1)
    metrics.render_ended("succeeded", timings, 20, [Scores(0.8, 0.3, 0.9)])
    found = {"up": set(), **{name: set(labels) for name, labels in TRITON.items()}}
    for family in text_string_to_metric_families(metrics.exposition()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.mark.parametrize("expression", queries.expressions())
def test_every_metric_and_label_exists(expression, known):
    assert queries.names(expression), "asks for no metric"
    for name in queries.names(expression):
        assert name in known
    for name, label in queries.labels(expression):
        assert label in known[name] | queries.OF_PROMETHEUS, f"{name} has no {label}"


def test_what_is_asked_for_is_found_in_an_expression():
    expression = (
        'histogram_quantile(0.9, sum by (le, a) (rate(x_bucket{b=~"y (z)"}[5m] offset 1d)))'
        " < 0.8 * sum(up) or absent(w == 1)"
    )
    assert queries.names(expression) == {"x_bucket", "up", "w"}
    assert ("x_bucket", "b") in set(queries.labels(expression))
    assert ("x_bucket", "a") in set(queries.labels(expression))


def test_every_panel_says_what_it_shows_and_asks_the_chosen_source():
    for panel in queries.panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["targets"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_have_places_and_ids_of_their_own():
    everything = queries.dashboard()["panels"]
    ids = [panel["id"] for panel in everything]
    assert len(set(ids)) == len(ids)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in everything)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(cells)) == len(cells)
    assert {x for x, _ in cells} == set(range(24))


def test_every_variable_that_is_used_is_defined():
    dashboard = queries.dashboard()
    defined = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard)))
    assert used == defined | {"__rate_interval"}


def test_every_alert_says_what_is_wrong_how_bad_and_what_to_do():
    names = [rule["alert"] for rule in queries.rules()]
    assert len(set(names)) == len(names)
    for rule in queries.rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert set(rule["annotations"]) == {"summary", "remedy"}
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            kept = {found for _, found in queries.labels(rule["expr"])} | queries.OF_PROMETHEUS
            assert label in kept


def test_prometheus_reads_the_gateway_and_triton_with_a_key():
    path = queries.FOLDER / "prometheus" / "prometheus.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))

    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert {name: job["metrics_path"] for name, job in jobs.items()} == {
        "maquette": "/metrics",
        "maquette-triton": "/metrics/triton",
    }
    assert all(job["authorization"]["credentials_file"] for job in jobs.values())
    asked = "\n".join(queries.expressions())
    assert set(re.findall(r'job="([\w-]+)"', asked)) == set(jobs)
    assert config["rule_files"] == [queries.ALERTS.name]
