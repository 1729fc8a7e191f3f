"""What every measurement is given: the running stack, how much to measure, what to ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from bench.caller import Caller, calling
from bench.effort import Effort
from bench.stack import Stack
from evaluation.console import Task
from gateway.settings import Settings
from maquette.client import RenderOptions, connect
from maquette.paths import EXAMPLE_SKETCH

PROMPT = "futuristic neon city at night"
STYLE = "cyberpunk"
SIDE = 256
"""Pixels a side: what the tiny pack is made for."""
SEED = 11
MAX_RUNNING = int(Settings.model_fields["max_running"].default)
MAX_WAITING = int(Settings.model_fields["max_waiting"].default)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Bench:
    """One run of the measurements over one stack. Made by :func:`context`."""

    stack: Stack
    effort: Effort
    task: Task
    """Shows a progress bar for a block."""
    caller: Caller
    """Has a connection of its own."""
    sketch: bytes
    style_image: bytes
    """The library's picture of ``STYLE``, as the gateway sends it to Triton."""

    @property
    def cores(self) -> int:
        """That the stack and everything beside it may use."""
        return len(os.sched_getaffinity(0))

    def ask(self, steps: int | None = None, **changed: Any) -> RenderOptions:
        """A fully determined request; keyword arguments change it."""
        asked: dict[str, Any] = {
            "style": STYLE,
            "seed": SEED,
            "num_inference_steps": steps or self.effort.steps,
            "width": SIDE,
            "height": SIDE,
        }
        return RenderOptions(**(asked | changed))  # type: ignore[typeddict-item]

    def each(self, what: str, items: Iterable[Item]) -> Iterator[Item]:
        """`items` one by one, with a progress bar."""
        items = list(items)
        with self.task(what, len(items)) as advance:
            for item in items:
                yield item
                advance()


@asynccontextmanager
async def context(stack: Stack, effort: Effort, task: Task) -> AsyncIterator[Bench]:
    """The context of a run over `stack`."""
    sketch = EXAMPLE_SKETCH.read_bytes()
    with connect(stack.address) as client:
        _, picture = client.get_style(STYLE)
    async with calling(stack.address, sketch, PROMPT) as caller:
        yield Bench(stack, effort, task, caller, sketch, picture)
