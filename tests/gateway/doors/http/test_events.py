from __future__ import annotations

import asyncio

from gateway.background.jobs import Step
from gateway.doors.http import events
from gateway.doors.http.versions import Progress


async def test_work_is_closed_when_its_client_leaves_while_a_ping_is_stuck(monkeypatch):
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
        if message.get("body", b"").startswith(b": ping"):
            gone.set()
            await never.wait()

    told = await events.steps_of(work(), Progress, receive)
    scope = {"type": "http", "method": "POST"}
    async with asyncio.timeout(10):
        await told(scope, receive, send)
    assert closed.is_set()
