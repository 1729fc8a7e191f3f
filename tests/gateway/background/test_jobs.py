"""Work in a thread, told step by step."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from gateway.background.jobs import JobPool, JobProgress, Step
from pipeline.errors import Cancelled
from tests.gateway.waiting import until
from versions.errors import Busy


def begun(steps, work):
    return asyncio.create_task(asyncio.to_thread(work), name="a long change")


async def test_steps_come_first_and_the_result_last():
    steps, seen = JobProgress(), threading.Event()

    def work():
        steps.report("cutting", 1, 2)
        assert seen.wait(30)
        for done in range(100):
            steps.report("glueing", done, 100)
        return "a house"

    told = []
    async with aclosing(steps.follow(begun(steps, work))) as followed:
        async for each in followed:
            told.append(each)
            seen.set()
    assert told[0] == Step("cutting", 1, 2)
    # Of many at once only the newest is told.
    assert told[-2:] == [Step("glueing", 99, 100), "a house"]
    done = [each.done for each in told[1:-1]]
    assert done == sorted(done)


async def test_a_step_is_told_once():
    steps, seen, told = JobProgress(), threading.Event(), []

    def work():
        steps.report("cutting", 1, 1)
        assert seen.wait(30)

    async with aclosing(steps.follow(begun(steps, work))) as followed:
        async for each in followed:
            told.append(each)
            seen.set()
    assert told == [Step("cutting", 1, 1), None]


async def test_what_it_fails_with_is_raised():
    def work():
        raise LookupError("no glue")

    steps = JobProgress()
    with pytest.raises(LookupError, match="no glue"):
        async with aclosing(steps.follow(begun(steps, work))) as followed:
            await anext(followed)


async def test_who_leaves_ends_it_at_its_next_step():
    steps, left, ended = JobProgress(), threading.Event(), []

    def work():
        steps.report("cutting", 0, 2)
        assert left.wait(30)
        try:
            steps.report("cutting", 1, 2)
        except Cancelled as error:
            ended.append(str(error))
            raise

    task = begun(steps, work)
    async with aclosing(steps.follow(task)) as followed:
        await anext(followed)
    left.set()
    await asyncio.wait([task])
    assert ended == ["Nobody waits for it any more, so it was ended."]
    with pytest.raises(Cancelled):
        steps.report("cutting", 2, 2)


async def test_what_nobody_is_told_is_logged_unless_it_was_only_ended(caplog):
    steps, left = JobProgress(), threading.Event()

    def work():
        steps.report("cutting", 0, 2)
        assert left.wait(30)
        raise LookupError("no glue")

    task = begun(steps, work)
    async with aclosing(steps.follow(task)) as followed:
        await anext(followed)
    left.set()
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert [record.getMessage() for record in caplog.records] == [
        "a long change failed unexpectedly"
    ]


async def test_what_failed_before_they_left_and_was_not_told_is_logged(caplog):
    steps, seen = JobProgress(), threading.Event()

    def work():
        steps.report("cutting", 0, 2)
        assert seen.wait(30)
        raise LookupError("no glue")

    task = begun(steps, work)
    async with aclosing(steps.follow(task)) as followed:
        await anext(followed)
        seen.set()
        await asyncio.wait([task])
    await asyncio.sleep(0)
    assert [record.exc_info[0] for record in caplog.records] == [LookupError]


async def test_what_was_told_is_not_logged_as_well(caplog):
    def work():
        raise LookupError("no glue")

    steps = JobProgress()
    followed = steps.follow(begun(steps, work))
    with pytest.raises(LookupError):
        await anext(followed)
    await asyncio.sleep(0)
    assert caplog.records == []


# threads of their own


@pytest.fixture
def held():
    """Work that waits to be let go on."""
    go_on = threading.Event()
    yield lambda: go_on.wait(30), go_on
    go_on.set()


async def test_long_work_leaves_the_shared_threads_to_others(held):
    work, go_on = held
    threads = JobPool(1, "works")
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    long = asyncio.create_task(threads.run(work))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(lambda: "a render") == "a render"
    assert not long.done()
    go_on.set()
    assert await long
    threads.close()


async def test_more_work_than_threads_is_told_to_come_later(held):
    work, go_on = held
    threads = JobPool(2, "publications and gates")
    long = [asyncio.create_task(threads.run(work)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="2 publications and gates run .* Try again"):
        async with asyncio.timeout(10):
            await threads.run(work)
    go_on.set()
    assert await asyncio.gather(*long) == [True, True]
    assert await threads.run(lambda: "a house") == "a house"
    threads.close()


async def test_long_work_knows_the_call_that_it_is_done_for():
    call = contextvars.ContextVar("call")
    call.set("42")
    threads = JobPool(1, "works")
    assert await threads.run(call.get) == "42"
    threads.close()


async def test_a_thread_is_taken_until_its_work_is_done(held):
    work, go_on = held
    threads = JobPool(1, "works")
    left = asyncio.create_task(threads.run(work))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    with pytest.raises(Busy):
        await threads.run(lambda: "a house")
    go_on.set()
    await until(lambda: not threads._working)
    assert await threads.run(lambda: "a house") == "a house"
    threads.close()
