"""/generate: one form in, one picture out."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.gateway.fakes import STYLES, WARNING
from tests.gateway.waiting import until

LONG = " ".join(["word"] * 21)


def form(sketch, **fields):
    data = {"prompt": "a house", "num_inference_steps": 2, **fields}
    return {"data": data, "files": {"file": ("sketch.png", sketch)}}


async def test_a_picture_and_how_it_came_about(served, sketch):
    response = await served.client.post("/generate", **form(sketch, seed=42, prompt=LONG))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    assert response.content.startswith(b"\x89PNG")
    told = response.headers
    assert told["x-retrieved-style"] in STYLES
    assert told["x-styles"] == f"{told['x-retrieved-style']}:1"
    assert -1 <= float(told["x-style-score"]) <= 1
    assert (told["x-seed"], told["x-structure-f1"]) == ("42", "0.7500")
    for name in ("x-clip-score", "x-image-style-score"):
        assert -1 <= float(told[name]) <= 1
    assert json.loads(told["x-warnings"]) == [WARNING]
    assert "x-attempts" not in told
    found = await served.client.get(f"/v1/renders/{told['x-render-id']}")
    assert found.json()["state"] == "succeeded"


async def test_attempts_are_in_a_header(served, sketch):
    asked = form(sketch, seed=42, structure_min=0.875, max_attempts=2)
    told = (await served.client.post("/generate", **asked)).headers
    attempts = json.loads(told["x-attempts"])
    assert [(one["attempt"], one["seed"]) for one in attempts] == [(1, 42), (2, 43)]
    assert told["x-seed"] == "42"


async def test_a_style_that_was_named_has_no_score(served, sketch):
    response = await served.client.post("/generate", **form(sketch, style="sunset"))
    assert response.headers["x-retrieved-style"] == "sunset"
    assert "x-style-score" not in response.headers
    assert "x-warnings" not in response.headers


async def test_a_blend_says_each_style_and_its_weight(served, sketch):
    asked = {"styles": ["sunset", "winter"], "style_weights": ["0.75", "0.5"]}
    response = await served.client.post("/generate", **form(sketch, **asked))
    assert response.headers["x-retrieved-style"] == "sunset"
    assert response.headers["x-styles"] == "sunset:0.75, winter:0.5"
    retrieved = await served.client.post("/generate", **form(sketch, style_count=3))
    told = dict(each.split(":") for each in retrieved.headers["x-styles"].split(", "))
    assert set(told) == set(STYLES)
    assert sum(map(float, told.values())) == pytest.approx(1, abs=1e-3)


async def test_errors_name_the_field_as_it_is_called_here(served, sketch):
    for files in ({"file": b"hello"}, {"file": b""}, {"other": sketch}):
        response = await served.client.post("/generate", data={"prompt": "x"}, files=files)
        assert response.status_code == 400
        wrong = response.json()
        assert wrong["field"] in ("file", "'other'")
        assert wrong["detail"].startswith(wrong["field"])


async def test_a_field_by_the_name_it_has_elsewhere_is_told_the_one_it_has_here(served, sketch):
    files = {"sketch": sketch}
    response = await served.client.post("/generate", data={"prompt": "x"}, files=files)
    assert (response.status_code, response.json()["field"]) == (400, "'sketch'")
    assert "Did you mean file?" in response.json()["detail"]


async def test_one_picture_only(served, sketch):
    response = await served.client.post("/generate", **form(sketch, num_images=2))
    assert (response.status_code, response.json()["field"]) == (400, "num_images")
    assert "POST /v1/renders" in response.json()["detail"]


async def test_json_is_not_taken(served):
    response = await served.client.post("/generate", json={"prompt": "x"})
    assert response.status_code == 415
    assert "multipart/form-data" in response.json()["detail"]


async def test_a_client_that_leaves_ends_its_render(served, sketch):
    served.painter.hold()
    request = served.client.build_request("POST", "/generate", **form(sketch))
    sending = asyncio.create_task(served.client.send(request))
    await until(lambda: served.painter.begun == 1)
    sending.cancel()
    await until(lambda: served.painter.left_early == 1)
