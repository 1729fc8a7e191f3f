from __future__ import annotations

import pytest

from maquette.v1 import maquette_pb2 as pb
from tests.gateway.telemetry.collector import collecting
from tests.integration.stack import live_stack, stub_of


@pytest.fixture(scope="session")
def live(tmp_path_factory):
    """One running stack for all tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("live")
    with collecting() as collector, live_stack(folder, otlp_endpoint=collector.url) as stack:
        stack.collector = collector
        yield stack


@pytest.fixture
def stub(live):
    with live.channel() as channel:
        yield stub_of(channel)


@pytest.fixture(scope="session")
def request_for(sketch):
    """Makes a quick, fully determined request; keyword arguments change it."""

    def make(**changed):
        return pb.RenderRequest(
            **{"sketch": sketch, "prompt": "futuristic neon city at night", "seed": 11,
               "style": "cyberpunk", "num_inference_steps": 4, **changed}
        )  # fmt: skip

    return make
