"""What every measurement is given: the running stack, how much to measure, what to ask for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.progress import Progress

from bench.caller import Caller, calling
from bench.effort import Effort
from bench.stack import Stack
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

Advance = Callable[[], None]


@dataclass(frozen=True)
class Bench:
    """One run of the measurements over one stack."""

    stack: Stack
    effort: Effort
    progress: Progress
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

    @asynccontextmanager
    async def calling(self) -> AsyncIterator[Caller]:
        """A caller with a connection of its own."""
        async with calling(self.stack.address, self.sketch, PROMPT) as caller:
            yield caller

    @contextmanager
    def task(self, what: str, total: int) -> Iterator[Advance]:
        """A progress bar for the block."""
        task = self.progress.add_task(f"  {what}", total=total)
        try:
            yield lambda: self.progress.advance(task)
        finally:
            self.progress.remove_task(task)


def context(stack: Stack, effort: Effort, progress: Progress) -> Bench:
    """The context of a run over `stack`."""
    with connect(stack.address) as client:
        _, picture = client.get_style(STYLE)
    return Bench(stack, effort, progress, EXAMPLE_SKETCH.read_bytes(), picture)
