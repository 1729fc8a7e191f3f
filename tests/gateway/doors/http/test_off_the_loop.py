"""Megabytes of pictures are read and written while others are served."""

from __future__ import annotations

import asyncio
import base64
import json
import threading

from fastapi import Request

from gateway.doors.http.bodies import JSON, body_of
from gateway.doors.http.schemas import in_json
from gateway.doors.http.submissions import RenderSubmission


async def test_base64_is_decoded_beside_the_loop():
    sketch = base64.b64encode(bytes(30_000_000)).decode()
    body = json.dumps({"sketch": sketch, "prompt": "a house"}).encode()

    async def receive():
        return {"type": "http.request", "body": body}

    headers = [(b"content-type", JSON.encode())]
    request = Request({"type": "http", "headers": headers}, receive)
    reading = asyncio.create_task(body_of(request, RenderSubmission, JSON))
    await asyncio.sleep(0)
    # Decoded on the loop, it would be done with its first step.
    assert not reading.done()
    assert len((await reading).sketch) == 30_000_000


async def test_answers_are_made_beside_the_loop():
    made_in = []

    def body():
        made_in.append(threading.current_thread())
        return {"a": 1}

    assert (await in_json(body, {"X-A": "b"})).headers["x-a"] == "b"
    assert made_in != [threading.main_thread()]
