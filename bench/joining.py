"""A batch over time: which renders are in it at each step."""

from __future__ import annotations

import asyncio
import threading
import time
from bisect import bisect_right
from typing import Any

from bench.caller import Told
from bench.context import SEED, Bench
from bench.stack import Counts, Stack

GUESTS = (
    # Steps of a render, and the step of the first one at which it is sent.
    (40, 0),
    (12, 3),
    (30, 6),
    (4, 9),
    (20, 10),
    (8, 12),
    (16, 16),
    (4, 20),
    (10, 24),
    (6, 28),
)
POLL_SECONDS = 0.01


class BatchSizes:
    """Watches Triton's counts: how many requests were in each execution of the UNet, and when."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.moments: list[float] = []
        self.sizes: list[float] = []

    def __enter__(self) -> BatchSizes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def at(self, moment: float) -> float:
        """Requests in the last execution that had ended at `moment`."""
        index = bisect_right(self.moments, moment + POLL_SECONDS) - 1
        return self.sizes[max(index, 0)] if self.sizes else 0.0

    def _watch(self) -> None:
        last = self._stack.counts()
        while not self._over.wait(POLL_SECONDS):
            current = self._stack.counts()
            self._note(current.since(last))
            last = current

    def _note(self, new: Counts) -> None:
        if new.executions:
            self.moments.append(time.perf_counter())
            self.sizes.append(new.requests / new.executions)


async def timeline(bench: Bench) -> dict[str, Any]:
    """Renders of different lengths that come one after another, and their steps."""
    made: list[Told] = []
    with BatchSizes(bench.stack) as sizes:
        for steps, at in bench.each("renders that join and leave", GUESTS):
            if at:
                await made[0].reached(at)
            made.append(bench.caller.start(**bench.ask(steps, seed=SEED + len(made))))
        await asyncio.gather(*(told.whole() for told in made))
    zero = made[0].sent
    return {
        "timeline": [
            {
                "sent_s": round(told.sent - zero, 4),
                "ended_s": round((told.ended or told.sent) - zero, 4),
                "steps_s": [round(step - zero, 4) for step in told.steps],
                "batch": [round(sizes.at(step), 2) for step in told.steps],
            }
            for told in made
        ]
    }
