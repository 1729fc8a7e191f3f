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


@pytest.mark.parametrize(("places", "others"), [(2, 1), (1, 1), (3, 2)])
async def test_the_last_of_all_waits_until_a_place_is_left_for_others(places, others):
    admission, releases, order = Admission(places, 1), asyncio.Queue(), []

    async def render(name, **how):
        async with admission.slot(**how):
            order.append(name)
            await releases.get()

    busy = [asyncio.create_task(render("busy")) for _ in range(others)]
    await asyncio.sleep(0)
    last = asyncio.create_task(render("last", last=True))
    await asyncio.sleep(0)
    assert (order, admission.waiting) == (["busy"] * others, 0)
    # Who comes later goes first.
    later = asyncio.create_task(render("later"))
    await asyncio.sleep(0)
    for _ in range(others + 2):
        releases.put_nowait(None)
    await asyncio.gather(*busy, later, last)
    assert order == ["busy"] * others + ["later", "last"]


async def test_the_last_of_all_hears_of_a_place_whose_taker_left_in_that_moment():
    admission, release = Admission(1, 2), asyncio.Event()

    async def render(**how):
        async with admission.slot(**how):
            await release.wait()

    busy = asyncio.create_task(render())
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(render()) for _ in range(2)]
    last = asyncio.create_task(render(last=True))
    await asyncio.sleep(0)
    release.set()
    # The place is handed over in the tick in which both who wait for it leave.
    busy.add_done_callback(lambda _: [task.cancel() for task in waiting])
    await asyncio.gather(busy, *waiting, return_exceptions=True)
    async with asyncio.timeout(5):
        await last
