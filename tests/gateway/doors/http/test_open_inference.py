"""The Open Inference Protocol's REST face, behind what surrounds every HTTP call."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest_asyncio

from gateway.doors.http.app import make_app
from gateway.doors.http.dependencies import admitted
from gateway.doors.http.server import serving
from gateway.doors.http_bodies import MAX_BODY
from gateway.doors.openinference.rest import router
from gateway.doors.openinference.virtual_model import VirtualModel
from tests.gateway.doors.http.conftest import free_port
from tests.gateway.waiting import until

INFER = "/v2/models/sketch_to_render/infer"


@pytest_asyncio.fixture(loop_scope="session")
async def client(served):
    settings = served.settings.model_copy(update={"http_port": free_port()})
    model = VirtualModel(served.renders, served.is_ready, "0")
    app = make_app(served.stage.parts, settings, served.is_ready, router(model, admitted))
    url = f"http://127.0.0.1:{settings.http_port}"
    async with serving(app, settings, 1), httpx.AsyncClient(base_url=url, timeout=30) as client:
        yield client


def asked(sketch):
    data = {"sketch": base64.b64encode(sketch).decode(), "prompt": "a house"}
    inputs = [
        {"name": name, "datatype": "BYTES", "shape": [1], "data": [value]}
        for name, value in data.items()
    ]
    return json.dumps({"inputs": inputs})


async def test_a_client_that_leaves_is_not_answered(served, client, sketch):
    served.painter.hold()
    left, begun = served.painter.left_early, served.painter.begun
    asking = asyncio.create_task(client.post(INFER, content=asked(sketch)))
    await until(lambda: served.painter.begun == begun + 1)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    served.painter.go_on()
    await until(lambda: served.painter.left_early == left + 1)
    metrics = served.stage.parts.desk.metrics
    counted = 'http_response_status_code="499",http_route="/v2/models/{name}/infer"'
    await until(lambda: counted in metrics.exposition()[0].decode())


async def test_a_body_that_is_too_large_is_refused_in_its_form(client):
    async def chunks():
        for _ in range(MAX_BODY // 2**20 + 1):
            yield bytes(2**20)

    response = await client.post(INFER, content=chunks())
    assert (response.status_code, list(response.json())) == (413, ["error"])
    assert f"at most {MAX_BODY:,} bytes" in response.json()["error"]
