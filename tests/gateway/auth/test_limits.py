"""What a caller gets, counted in memory and in a real Redis by the same tests."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis

from gateway.auth.caller import ANYBODY
from gateway.auth.limits import Limits, _words
from pipeline.errors import Overloaded, Unavailable
from tests.conftest import ROOT

CROWD = 100


async def crowd(action, *arguments):
    """What came of many calls at once: those that passed, and those that were refused."""
    outcomes = await asyncio.gather(
        *(action(*arguments) for _ in range(CROWD)), return_exceptions=True
    )
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    passed = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    assert len(passed) + len(refused) == CROWD, outcomes
    return passed, refused


async def give_back(permits):
    for permit in permits:
        await permit.give_back()


@pytest.mark.parametrize(
    ("limit", "allowed"),
    [("renders_at_once", 4), ("renders_per_minute", 7), ("renders_per_day", 5)],
)
async def test_of_a_crowd_exactly_as_many_begin_as_may(limits, caller, limit, allowed):
    permits, refused = await crowd(limits.begin, caller(**{limit: allowed}))
    await give_back(permits)
    assert len(permits) == allowed
    assert all(f"{limit} is {allowed} for you" in str(error) for error in refused)


async def test_of_a_crowd_exactly_as_many_calls_pass_as_may(limits, caller):
    passed, refused = await crowd(limits.count_call, caller(calls_per_minute=9))
    assert len(passed) == 9
    assert all("calls_per_minute is 9 for you" in str(error) for error in refused)


async def test_a_place_comes_back_when_its_render_ends(limits, caller):
    one = caller(renders_at_once=1)
    for _ in range(3):
        async with await limits.begin(one):
            with pytest.raises(Overloaded, match="as many wait or run"):
                await limits.begin(one)


async def test_a_place_comes_back_when_its_render_fails(limits, caller):
    one = caller(renders_at_once=1)
    with pytest.raises(ZeroDivisionError):
        async with await limits.begin(one):
            raise ZeroDivisionError
    await give_back([await limits.begin(one)])


async def test_giving_back_twice_frees_one_place(limits, caller):
    two = caller(renders_at_once=2)
    first, second = await limits.begin(two), await limits.begin(two)
    await first.give_back()
    await first.give_back()
    third = await limits.begin(two)
    with pytest.raises(Overloaded):
        await limits.begin(two)
    await give_back([second, third])


async def test_what_the_minute_refuses_takes_no_place_and_no_day(limits, caller):
    async with await limits.begin(caller(renders_per_minute=1, renders_per_day=2)):
        pass
    for _ in range(5):
        with pytest.raises(Overloaded, match="renders_per_minute"):
            await limits.begin(caller(renders_per_minute=1, renders_per_day=2))
    # A limit of another size is counted anew: the minute is out of the way.
    async with await limits.begin(caller(renders_at_once=1, renders_per_day=2)):
        pass
    with pytest.raises(Overloaded, match="renders_per_day"):
        await limits.begin(caller(renders_at_once=1, renders_per_day=2))


async def test_what_the_day_refuses_takes_no_place_and_no_minute(limits, caller):
    async with await limits.begin(caller(renders_per_minute=3, renders_per_day=1)):
        pass
    for _ in range(5):
        with pytest.raises(Overloaded, match="renders_per_day"):
            await limits.begin(caller(renders_per_minute=3, renders_per_day=1))
    permits = [await limits.begin(caller(renders_at_once=2, renders_per_minute=3)) for _ in "ab"]
    await give_back(permits)
    with pytest.raises(Overloaded, match="renders_per_minute"):
        await limits.begin(caller(renders_per_minute=3))


async def test_refusals_tell_when_to_go_on(limits, caller):
    await limits.count_call(caller(calls_per_minute=1))
    with pytest.raises(Overloaded, match=r"used up\. Try again in \d+ s\.") as minute:
        await limits.count_call(caller(calls_per_minute=1))
    assert 1 <= minute.value.retry_after <= 60
    async with await limits.begin(caller(renders_per_day=1)):
        pass
    with pytest.raises(Overloaded, match=r"Try again in .*(h|min|s)\.") as day:
        await limits.begin(caller(renders_per_day=1))
    assert 1 <= day.value.retry_after <= 24 * 3600


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "1 s"), (120, "120 s"), (121, "3 min"), (7201, "2 h 1 min")]
)
def test_waits_are_said_as_people_say_them(seconds, words):
    assert _words(seconds) == words


async def test_calls_renders_and_callers_are_counted_apart(limits, caller):
    some = caller(calls_per_minute=1, renders_per_minute=1)
    other = type(some)(f"{some.id}-other", some.scopes, some.quota)
    for one in (some, other):
        await limits.count_call(one)
        await give_back([await limits.begin(one)])


async def test_without_a_quota_nothing_is_counted(limits):
    passed, refused = await crowd(limits.count_call, ANYBODY)
    assert (len(passed), refused) == (CROWD, [])
    permits, refused = await crowd(limits.begin, ANYBODY)
    await give_back(permits)
    assert (len(permits), refused) == (CROWD, [])


async def test_gateways_share_counts_through_redis(redis_url, caller):
    async with AsyncExitStack() as held:
        gateways = [Limits(redis_url) for _ in range(3)]
        for gateway in gateways:
            held.push_async_callback(gateway.close)
        outcomes = [await crowd(gateway.begin, caller(renders_at_once=4)) for gateway in gateways]
        assert [len(permits) for permits, _ in outcomes] == [4, 0, 0]
        await give_back(outcomes[0][0])
        await give_back([await gateways[2].begin(caller(renders_at_once=1))])


async def test_a_held_place_outlives_its_lease(redis_url, caller):
    one, limits, other = caller(renders_at_once=1), Limits(redis_url, 2), Limits(redis_url)
    async with Redis.from_url(redis_url) as redis, await limits.begin(one):
        # Each renewal is a third of a lease after the one before.
        seen = set()
        async with asyncio.timeout(20):
            while len(seen) < 5:
                (_, expiry), *more = await redis.zrange(
                    f"maquette:running:{one.id}", 0, -1, withscores=True
                )
                assert not more
                seen.add(expiry)
                await asyncio.sleep(0.01)
        with pytest.raises(Overloaded):
            await other.begin(one)
    await other.begin(one)
    await limits.close()
    await other.close()


HOLD_A_PLACE = """
import asyncio, sys
from gateway.auth.caller import Caller, Quota
from gateway.auth.limits import Limits

async def hold():
    caller = Caller(sys.argv[2], frozenset(), Quota(9, 9, 1, 9))
    async with await Limits(sys.argv[1], lease_seconds=3).begin(caller):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


async def test_the_place_of_a_dead_gateway_comes_back(redis_url, caller):
    limits, one = Limits(redis_url), caller(renders_at_once=1)
    command = [sys.executable, "-c", HOLD_A_PLACE, redis_url, one.id]
    gateway = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert await gateway.stdout.readline() == b"held\n"
        with pytest.raises(Overloaded):
            await limits.begin(one)
    finally:
        gateway.kill()
        await gateway.communicate()
    async with asyncio.timeout(20):
        while True:
            try:
                permit = await limits.begin(one)
                break
            except Overloaded:
                await asyncio.sleep(0.05)
    await permit.give_back()
    await limits.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_redis_nobody_begins_and_nobody_hangs(own_redis, caller, how, caplog):
    limits = Limits(own_redis.url)
    permit = await limits.begin(caller())
    own_redis.process.send_signal(how)
    async with asyncio.timeout(30):
        with pytest.raises(Unavailable, match="cannot count calls"):
            await limits.count_call(caller())
        with pytest.raises(Unavailable, match="cannot count calls"):
            await limits.begin(caller())
        await permit.give_back()
    assert "Redis does not answer" in caplog.text
    await limits.close()


async def test_counting_goes_on_when_redis_is_back(own_redis, short_folder, caller):
    limits = Limits(own_redis.url)
    await limits.count_call(caller())
    own_redis.stop()
    with pytest.raises(Unavailable):
        await limits.count_call(caller())
    again = type(own_redis)(short_folder)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                await limits.count_call(caller())
                break
            except Unavailable:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        await give_back([await limits.begin(caller())])
    finally:
        again.stop()
        await limits.close()


def test_a_url_that_is_none_is_told_without_its_password():
    with pytest.raises(Unavailable, match="must look like redis://HOST") as error:
        Limits("redis//:geheim@localhost")
    assert "geheim" not in str(error.value)
