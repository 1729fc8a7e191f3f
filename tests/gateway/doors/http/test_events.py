from __future__ import annotations

import asyncio

import pytest

from gateway.background.jobs import Step
from gateway.doors.http import events
from gateway.doors.http.versions import Progress


@pytest.mark.parametrize("stuck", ["the head", "a ping"])
async def test_work_is_closed_when_its_client_leaves_while_something_is_sent(monkeypatch, stuck):
    monkeypatch.setattr(events, "PING_SECONDS", 0.01)
    gone, closed, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work():
        try:
            yield Step("renders", 0, 2)
            await never.wait()
        finally:
            closed.set()

    async def receive():
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        is_ping = message.get("body", b"").startswith(b": ping")
        if is_ping if stuck == "a ping" else message["type"] == "http.response.start":
            gone.set()
            await never.wait()

    told = await events.steps_of(work(), Progress, receive)
    scope = {"type": "http", "method": "POST"}
    async with asyncio.timeout(10):
        await told(scope, receive, send)
    assert closed.is_set()
