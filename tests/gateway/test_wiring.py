"""The parts, put together and taken apart."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest

from gateway import wiring
from gateway.auth.caller import Caller, Scope
from gateway.settings import Settings
from tests.gateway import fakes
from tests.gateway.versioned import MODEL, versioned
from versions import aliases, gates

ADA = Caller("ada", frozenset(Scope))


@pytest.mark.parametrize("put_together", [wiring.assembled, fakes.staged])
async def test_a_change_that_ends_while_the_gateway_does_is_written_down(
    put_together, tmp_path, monkeypatch
):
    loop, inside, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def held(*_arguments):
        loop.call_soon_threadsafe(inside.set)
        assert go_on.wait(30)
        return ""

    monkeypatch.setattr(gates, "why_not", held)
    settings = Settings(
        audit=tmp_path / "audit.log", library=tmp_path / "library", keys=tmp_path / "keys.json",
        repository=versioned(tmp_path / "repository"), triton="127.0.0.1:1",
    )  # fmt: skip
    async with put_together(settings) as made:
        administration = getattr(made, "parts", made).administration
        call = asyncio.create_task(administration.promote(ADA, MODEL, 2, force=True, why="a test"))
        await inside.wait()
        # Its door has closed.
        call.cancel()
        loop.call_later(0.2, go_on.set)
    assert aliases.read(settings.repository).champion(MODEL) == 2
    line = json.loads(settings.audit.read_text())
    assert (line["action"], line["outcome"]) == ("promote", "done")
