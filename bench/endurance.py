"""Thousands of renders: whether what a process of the stack holds in memory grows with them."""

from __future__ import annotations

from itertools import repeat
from typing import Any

from bench.arithmetic import slope
from bench.context import Bench
from pipeline.request import RANGES

IN_FLIGHT = 8
SMALLEST = int(RANGES["width"].low)


async def memory(bench: Bench) -> dict[str, Any]:
    """Bytes of every process and of their shared memory over many small renders."""
    effort, ask = bench.effort, bench.ask(1, width=SMALLEST, height=SMALLEST)
    every, samples = effort.memory_every, [bench.stack.memory()]
    for _ in bench.each("renders", range(effort.renders_for_memory // every)):
        await bench.caller.closed_loop(repeat(ask), IN_FLIGHT, every)
        samples.append(bench.stack.memory())
    return memory_figures(samples, every, effort.memory_first)


def memory_figures(samples: list[dict[str, int]], every: int, first: int) -> dict[str, Any]:
    """What `samples`, taken before and after each `every` renders, tell of growth since `first`.

    ``memory_growth`` is that of the process which grows most, in bytes a render.
    """
    renders = [every * index for index in range(len(samples))]
    names = sorted({name for sample in samples for name in sample})
    by_name = {name: [sample.get(name, 0) for sample in samples] for name in names}
    since = first // every
    slopes = {
        name: round(slope(renders[since:], sizes[since:]), 1) for name, sizes in by_name.items()
    }
    return {
        "memory_growth": max(slopes.values()),
        "memory": {"renders": renders, "bytes": by_name, "bytes_a_render": slopes},
    }
