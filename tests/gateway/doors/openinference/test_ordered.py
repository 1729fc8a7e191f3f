from __future__ import annotations

import asyncio

import pytest

from gateway.doors.openinference.ordered import in_order
from tests.gateway.waiting import until


class Work:
    """Counts what is in progress, and ends when it is told to."""

    def __init__(self):
        self.running = self.most = 0
        self.go = asyncio.Event()

    async def do(self, item):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
            if item == "bad":
                raise ValueError(item)
            return item
        finally:
            self.running -= 1


async def each(items):
    for item in items:
        yield item


async def test_no_more_of_a_stream_is_worked_on_at_once_than_may_be():
    work = Work()
    answers = in_order(each(range(20)), work.do, at_once=3)
    first = asyncio.ensure_future(anext(answers))
    await until(lambda: work.running == 3)
    work.go.set()
    assert [await first, *[answer async for answer in answers]] == list(range(20))
    assert work.most == 3


async def test_a_stream_that_is_closed_leaves_nothing_running():
    work = Work()
    answers = in_order(each(range(20)), work.do, at_once=3)
    first = asyncio.ensure_future(anext(answers))
    await until(lambda: work.running == 3)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await answers.aclose()
    assert work.running == 0


async def test_what_goes_wrong_in_a_stream_is_raised():
    work = Work()
    work.go.set()
    answers = in_order(each(["good", "bad", "good"]), work.do, at_once=3)
    assert await anext(answers) == "good"
    with pytest.raises(ValueError, match="bad"):
        await anext(answers)
    assert work.running == 0
