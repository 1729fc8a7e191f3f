"""NVIDIA's load generator, unmodified, takes the gateway for a Triton."""

from __future__ import annotations

import base64
import json
import struct

import pytest

from tests.gateway.doors.openinference.clients import MODEL
from tools.perf_analyzer import perf_analyzer


def element(data):
    return {"b64": base64.b64encode(struct.pack("<I", len(data)) + data).decode()}


@pytest.fixture(scope="module")
def requests(tmp_path_factory, tiny_sketch):
    file = tmp_path_factory.mktemp("requests") / "requests.json"
    asked = {"sketch": element(tiny_sketch), "prompt": element(b"a villa"), "width": [192]}
    file.write_text(json.dumps({"data": [asked]}))
    return str(file)


@pytest.mark.parametrize("options", [["grpc"], ["http"], ["grpc", "--streaming"]], ids=" ".join)
def test_perf_analyzer_measures(open_inference, requests, options):
    address = open_inference.http if options[0] == "http" else open_inference.grpc
    before = len(open_inference.painter.painted)
    asked = ["-m", MODEL, "-u", address, "--input-data", requests]
    load = ["--concurrency-range", "2", "--request-count", "10"]
    result = perf_analyzer().run(*asked, *load, "-i", *options)
    assert result.returncode == 0, result.stdout
    assert "Throughput: " in result.stdout
    painted = open_inference.painter.painted[before:]
    assert len(painted) >= 10
    assert {request.width for request in painted} == {192}
