"""Load that comes whether or not there is room: at random moments, up to twice what is possible."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product, repeat
from typing import Any

from bench.arithmetic import latencies, median, percentile, poisson, shuffled_decks
from bench.caller import Told
from bench.company import SHORT, load_figures
from bench.context import MAX_RUNNING, MAX_WAITING, SEED, SIDE, Bench
from maquette.client import RenderOptions

MIX = tuple(product((4, 20, 50), ((SIDE, SIDE), (320, 192))))
"""Steps, and width and height; all equally frequent."""
MEAN_STEPS = sum(steps for steps, _ in MIX) / len(MIX)
SHARES = (0.5, 0.8, 0.95)
RAMP = 0.2
"""Share of the time in which the first renders fill the batch; not counted."""
POLL_SECONDS = 0.25
AFTERWARDS = 5
RECOVERED = 1.5
"""Times the latency before, at most, when all is over."""


async def open_loop(bench: Bench) -> dict[str, Any]:
    """Mixed renders at random moments, at shares of what the same mix can reach."""
    capacity, table = await mixed_capacity(bench), []
    for share in bench.each("at 50, 80 and 95 % of the capacity", SHARES):
        rate = share * capacity
        moments = poisson(rate, bench.effort.open_seconds, SEED)
        before, began = bench.stack.counts(), time.perf_counter()
        made = await bench.caller.open_loop(moments, _mixed(bench, SEED))
        seconds, counts = time.perf_counter() - began, bench.stack.counts().since(before)
        table.append(
            {
                "share_of_capacity": share,
                "offered_per_s": round(rate, 4),
                "offered": len(made),
                "refused": sum(told.refused for told in made),
                "renders_per_s": round(sum(bool(told.result) for told in made) / seconds, 4),
                **load_figures(made),
                "mean_batch": counts.mean_batch,
            }
        )
    return {"open_loop": table, "mixed_capacity_per_s": round(capacity, 4)}


async def mixed_capacity(bench: Bench) -> float:
    """Renders a second of the mix in a closed loop of all places.

    Steps are counted, since few of the long renders would end within the time.
    """
    running: list[Told] = []
    asks = _mixed(bench, SEED)

    async def one_after_another() -> None:
        while True:
            running.append(told := bench.caller.start(**next(asks)))
            await told.whole()

    began = time.perf_counter()
    with suppress(TimeoutError):
        async with asyncio.timeout(bench.effort.mix_seconds):
            await asyncio.gather(*(one_after_another() for _ in range(MAX_RUNNING)))
    await bench.caller.leave(running)
    since = began + RAMP * bench.effort.mix_seconds
    until = began + bench.effort.mix_seconds
    steps = sum(since <= moment <= until for told in running for moment in told.steps)
    return steps / (until - since) / MEAN_STEPS


async def overload(bench: Bench) -> dict[str, Any]:
    """Twice what is possible, and whether what was accepted and what comes after suffers."""
    caller, ask, count = bench.caller, bench.ask(SHORT), bench.effort.normal_renders
    lonely = [(await caller.render(**ask)).seconds for _ in range(AFTERWARDS)]
    began = time.perf_counter()
    normal = await caller.closed_loop(repeat(ask), MAX_RUNNING, count)
    capacity = count / (time.perf_counter() - began)
    moments = poisson(2 * capacity, bench.effort.overload_seconds, SEED)
    queue = asyncio.create_task(_largest_queue(bench))
    made = await caller.open_loop(moments, repeat(ask))
    queue.cancel()
    largest = await queue
    after = [await caller.render(**ask) for _ in range(AFTERWARDS)]
    return {"overload": overload_figures(normal, made, largest, lonely, after, capacity)}


def overload_figures(
    normal: Sequence[Told],
    made: Sequence[Told],
    largest_queue: int,
    before: Sequence[float],
    after: Sequence[Told],
    capacity: float,
) -> dict[str, Any]:
    """What overload did to the renders `made` in it, and to those `after` it.

    Args:
        normal: the same kind of render in a closed loop of all places.
        before: seconds of the same kind of render alone.
    """
    refused = [told for told in made if told.refused]
    finished = [told.seconds for told in made if told.result]
    normal_p95 = percentile([told.seconds for told in normal], 95)
    accepted_p95 = percentile(finished, 95)
    went_through = all(told.result for told in after)
    ratio = accepted_p95 / normal_p95 if accepted_p95 and normal_p95 else None
    return {
        "normal": f"closed loop with {MAX_RUNNING} in flight, {SHORT} steps",
        "capacity_per_s": round(capacity, 4),
        "offered": len(made),
        "accepted": len(finished),
        "normal_p95_s": normal_p95,
        "accepted_p95_s": accepted_p95,
        "accepted_s": latencies(finished),
        "ratio": ratio and round(ratio, 4),
        "refused": len(refused),
        "refused_with_retry_info": sum(
            told.failed is not None and told.failed.retry_after is not None for told in refused
        ),
        "other_failures": len(made) - len(refused) - len(finished),
        "largest_queue": largest_queue,
        "queue_bound": MAX_WAITING,
        "alone_before_s": round(median(before), 4),
        "alone_after_s": round(median([told.seconds for told in after]), 4)
        if went_through
        else None,
        "recovered": went_through
        and median([told.seconds for told in after]) <= RECOVERED * median(before),
    }


async def _largest_queue(bench: Bench) -> int:
    """The longest queue that the gateway tells of, until it is cancelled."""
    largest = 0
    with suppress(asyncio.CancelledError):
        while True:
            largest = max(largest, await asyncio.to_thread(bench.stack.waiting))
            await asyncio.sleep(POLL_SECONDS)
    return largest


def _mixed(bench: Bench, seed: int) -> Iterator[RenderOptions]:
    for steps, (width, height) in shuffled_decks(MIX, seed):
        yield bench.ask(steps, width=width, height=height)
