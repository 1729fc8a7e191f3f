"""Giving the styles their vectors of another CLIP version, while they are searched and changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import MaquetteError
from retrieval.pictures import Pictures
from retrieval.styles import Style
from retrieval.vectors import Collection, Collections, Embed, Vector

AT_ONCE = 2
"""Pictures that are embedded at the same time: renders need the same Triton."""

Failed = dict[Style, str]


@dataclass(frozen=True)
class Progress:
    """How far a re-embedding is."""

    done: int
    """Styles that have their vector."""
    total: int
    failed: Mapping[str, str]
    """Why a style could not be embedded, by its id."""
    complete: bool
    """Whether every style has its vector, and that is recorded."""


async def reembed(
    collections: Collections, pictures: Pictures, clip: int, embed: Embed
) -> AsyncGenerator[Progress]:
    """Bring the collection of `clip` level with the one that serves, telling each step.

    Rounds of comparing and embedding, until there is nothing left to embed: so it does not matter
    where a run before was broken off, nor what was removed or replaced while it was embedded.
    """
    target, failed = collections.of(clip), Failed()
    while True:
        total, missing, stray = await _compare(collections, target)
        failed = {style: failed[style] for style in missing if style in failed}
        left = [style for style in missing if style not in failed]
        done, complete = total - len(missing), not missing and not stray
        yield Progress(done, total, _by_id(failed), complete)
        if not left and not stray:
            return
        for start in range(0, len(left), AT_ONCE):
            some = left[start : start + AT_ONCE]
            refused = await _take_over(some, collections, target, pictures, embed)
            failed |= refused
            done += len(some) - len(refused)
            yield Progress(done, total, _by_id(failed), complete=False)


async def _compare(
    collections: Collections, target: Collection
) -> tuple[int, list[Style], list[Style]]:
    """Make `target` if need be, record whether it is complete, and rid it of strays.

    Returns:
        How many styles there are, which `target` lacks, and which it had that are gone elsewhere.
    """
    async with collections.writing:
        await target.make(complete=False)
        missing, stray = await collections.differences(target)
        await target.mark(complete=not missing and not stray)
        for style in stray:
            await target.remove(style.id)
        return await collections.serving.count(), missing, stray


async def _take_over(
    styles: Sequence[Style],
    collections: Collections,
    target: Collection,
    pictures: Pictures,
    embed: Embed,
) -> Failed:
    """Write `styles` with their vectors to `target`; returns those that failed, and why."""
    vectors = await asyncio.gather(*(_vector(style, target, pictures, embed) for style in styles))
    failed = Failed()
    for style, vector in zip(styles, vectors, strict=True):
        if isinstance(vector, Exception):
            failed[style] = str(vector)
            continue
        async with collections.writing:
            await target.put(style, vector)
    return failed


async def _vector(
    style: Style, target: Collection, pictures: Pictures, embed: Embed
) -> Vector | MaquetteError | OSError:
    try:
        png = await asyncio.to_thread(pictures.get, style.sha256)
    except (MaquetteError, OSError) as error:
        return error
    return await target.vector_of(png, embed)


def _by_id(failed: Failed) -> dict[str, str]:
    return {style.id: why for style, why in failed.items()}
