"""Work on pictures: at once where it is little, else in a thread, so that nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import ParamSpec, TypeVar

from pipeline import png

LITTLE = 2**18
"""Bytes that are digested, or looked through, in about a millisecond."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


def are_little(pictures: Collection[bytes]) -> bool:
    """Whether looking through `pictures` is little work.

    Of a PNG with nothing but pixels only the checksums are looked at. Other files may unpack to far
    more than they are.
    """
    return sum(map(len, pictures)) <= LITTLE and all(map(png.is_bare, pictures))


async def run(
    little: bool,
    work: Callable[Given, Result],
    *args: Given.args,
    **kwargs: Given.kwargs,
) -> Result:
    """What `work` brings. A thread takes longer to hear of it than `little` work takes."""
    if little:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
