from __future__ import annotations

import asyncio

import pytest

from gateway.worker.admission import Admission
from pipeline.errors import Overloaded


async def test_runs_and_waits_up_to_its_bounds_and_refuses_the_rest():
    admission, release, running = Admission(2, 1), asyncio.Event(), []

    async def render(name):
        async with admission.slot():
            running.append(name)
            await release.wait()

    tasks = [asyncio.create_task(render(name)) for name in "abc"]
    await asyncio.sleep(0)
    assert running == ["a", "b"]
    with pytest.raises(Overloaded, match="1 renders are waiting already; allowed: 1"):
        async with asyncio.timeout(5):
            await render("d")
    release.set()
    await asyncio.gather(*tasks)
    assert running == ["a", "b", "c"]


async def test_one_that_leaves_the_queue_gives_up_its_place():
    admission, release = Admission(1, 1), asyncio.Event()

    async def render():
        async with admission.slot():
            await release.wait()

    holding = asyncio.create_task(render())
    await asyncio.sleep(0)
    leaving = asyncio.create_task(render())
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    waiting = asyncio.create_task(render())
    await asyncio.sleep(0)
    release.set()
    await asyncio.gather(holding, waiting)


async def test_a_failed_render_gives_its_place_back():
    admission = Admission(1, 0)
    for _ in range(3):
        with pytest.raises(LookupError):
            async with admission.slot():
                raise LookupError
