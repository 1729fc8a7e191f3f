"""Several renders at once: batches form at every step, and requests join and leave them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from itertools import repeat
from typing import Any

from bench import alone, engines
from bench.arithmetic import intervals, latencies, median
from bench.caller import Told
from bench.context import MAX_RUNNING, SEED, Bench
from bench.stack import Counts

LONG, SHORT = 50, 4
LEVELS = (1, 8, 2, 4, 16, 8, 1)
"""In flight. The two that are compared are measured at both ends, in case the machine changes."""
BATCHES = (1, 2, 4, 8)
GAIN_ROUNDS = 3
WARMING_STEPS = 2
DEEP = 3
"""Steps after which every running render has joined the batch."""


async def closed_loop(bench: Bench) -> dict[str, Any]:
    """Throughput and latency with so many in flight, and what batches gain the bare engines."""
    gains = engine_gains(bench)
    made: dict[int, list[tuple[list[Told], float, Counts]]] = {}
    await bench.caller.closed_loop(repeat(bench.ask(WARMING_STEPS)), MAX_RUNNING, MAX_RUNNING)
    for level in bench.each("in flight: 1 to 16", LEVELS):
        made.setdefault(level, []).append(await _level(bench, level))
    table = [level_figures(level, runs) for level, runs in sorted(made.items())]
    rates = {row["in_flight"]: row["renders_per_s"] for row in table}
    return {
        "engine_batch_gain_8": gains[8],
        "throughput_8_over_1": round(rates[8] / rates[1], 4),
        "closed_loop": table,
        "engine_batch_gains": {str(requests): gain for requests, gain in gains.items()},
    }


def engine_gains(bench: Bench) -> dict[int, float]:
    """ControlNet's and the UNet's requests a second, by requests in one batch, over one's."""
    seconds: dict[int, list[float]] = {requests: [] for requests in BATCHES}
    rounds = min(GAIN_ROUNDS, bench.effort.rounds)
    with engines.loaded(bench.stack) as running:
        alone.give_real_inputs(bench, running, BATCHES)
        for _ in bench.each("bare batches of 1 to 8", range(rounds)):
            for requests in BATCHES:
                for _ in range(BATCHES[-1] // requests):
                    seconds[requests].append(running.step_seconds(requests))
    one = median(seconds[1])
    return {n: round(one / (median(times) / n), 4) for n, times in seconds.items()}


async def _level(bench: Bench, level: int) -> tuple[list[Told], float, Counts]:
    before, began = bench.stack.counts(), time.perf_counter()
    made = await bench.caller.closed_loop(
        repeat(bench.ask()), level, bench.effort.renders_at[level]
    )
    return made, time.perf_counter() - began, bench.stack.counts().since(before)


def level_figures(
    in_flight: int, runs: Sequence[tuple[Sequence[Told], float, Counts]]
) -> dict[str, Any]:
    """One row of the closed loop: all runs of a level together."""
    renders = [told for made, _, _ in runs for told in made]
    seconds = sum(seconds for _, seconds, _ in runs)
    requests = sum(counts.requests for _, _, counts in runs)
    executions = sum(counts.executions for _, _, counts in runs)
    return {
        "in_flight": in_flight,
        "renders": len(renders),
        "renders_per_s": round(len(renders) / seconds, 4),
        **load_figures(renders),
        "mean_batch": round(requests / max(executions, 1), 3),
        "refused": sum(told.refusals for told in renders),
    }


def load_figures(renders: Sequence[Told]) -> dict[str, Any]:
    """Latencies of the `renders` that brought a picture, and their median step time."""
    finished = [told for told in renders if told.result]
    steps = [
        step for told in finished for step in intervals(told.steps, float("-inf"), float("inf"))
    ]
    return {
        **latencies([told.seconds for told in finished]),
        "step_s": round(median(steps), 4) if steps else None,
    }


async def join(bench: Bench) -> dict[str, Any]:
    """How many steps of seven running renders a new one waits for its own first."""
    trials = bench.each("joining seven", range(bench.effort.join_trials))
    found = [await _join(bench, trial) for trial in trials]
    return {
        "join_steps": round(median([steps for steps, _ in found]), 3),
        "join": [{"steps": round(steps, 3), "step_s": round(step, 4)} for steps, step in found],
    }


async def _join(bench: Bench, trial: int) -> tuple[float, float]:
    running = await _seven(bench)
    await asyncio.sleep(_part_of_a_step(running, trial))
    late = bench.caller.start(**bench.ask(LONG))
    first = await late.reached(1)
    await late.reached(DEEP)
    step = step_time(running, late.sent, first)
    await bench.caller.leave([*running, late])
    return (first - late.sent) / step, step


async def short_among_long(bench: Bench) -> dict[str, Any]:
    """How long a short render takes that starts among seven long ones."""
    found, first = [], []
    for trial in bench.each("a short one among long ones", range(bench.effort.short_trials)):
        running = await _seven(bench)
        await asyncio.sleep(_part_of_a_step(running, trial))
        short = await bench.caller.render(**bench.ask(SHORT))
        seconds = short.seconds
        first.append(all(told.ended is None for told in running))
        step = step_time(running, short.sent, short.sent + seconds)
        found.append(seconds / step)
        await bench.caller.leave(running)
    return {
        "short_among_long_steps": round(median(found), 3),
        "short_finished_first": all(first),
        "short_among_long": [round(steps, 3) for steps in found],
    }


async def cancel(bench: Bench) -> dict[str, Any]:
    """How often the UNet is run after a render was stopped."""
    found = []
    for trial in bench.each("stopping a render", range(bench.effort.cancel_trials)):
        told = bench.caller.start(**bench.ask(2 * LONG))
        await told.reached(DEEP + trial)
        await asyncio.sleep(_part_of_a_step([told], trial))
        await bench.caller.cancel(told)
        stopped_at = bench.stack.counts()
        settled = await asyncio.to_thread(bench.stack.settled)
        found.append(settled.since(stopped_at).executions)
    return {"executions_after_cancel": max(found), "executions_after_each_cancel": found}


async def same_picture(bench: Bench) -> dict[str, Any]:
    """The same request alone and in the company of seven others."""
    steps = min(8, bench.effort.steps)
    lonely = await bench.caller.render(**bench.ask(steps))
    among = [bench.caller.start(**bench.ask(steps, seed=SEED + n)) for n in range(MAX_RUNNING)]
    await asyncio.gather(*(told.whole() for told in among))
    difference = alone.largest_difference(alone.pixels(lonely), alone.pixels(among[0]))
    return {"batched_max_diff": round(difference, 6)}


def step_time(running: Sequence[Told], since: float, until: float) -> float:
    """The median interval between the step events of `running` around `since` to `until`."""
    return median([step for told in running for step in intervals(told.steps, since, until)])


async def _seven(bench: Bench) -> list[Told]:
    """Seven long renders, all of them past their first steps."""
    start = bench.caller.start
    running = [start(**bench.ask(LONG, seed=SEED + n)) for n in range(MAX_RUNNING - 1)]
    for told in running:
        await told.reached(DEEP)
    return running


def _part_of_a_step(running: Sequence[Told], trial: int) -> float:
    """Seconds of wait, so that trials do not all begin at the same moment of a step."""
    last = median([step for told in running for step in intervals(told.steps, 0, float("inf"))])
    return last * random.Random(trial).random()
