"""Waiting for what no event tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as `holds()` is true; fail when it is not in `seconds`."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what it looks at knows no event
            await asyncio.sleep(0.005)
