"""With a CLIP that was retired go the styles' vectors that it made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pipeline.errors import MaquetteError
from retrieval.library import StyleLibrary
from versions import aliases, catalogue, history
from versions.aliases import CLIP, PAIR

LOOK_SECONDS = 5.0
"""Nobody waits for it."""

log = logging.getLogger("maquette.gateway")


@asynccontextmanager
async def forgetting(repository: Path, library: StyleLibrary) -> AsyncIterator[None]:
    """For the block, :func:`forget` now and whenever the history of `repository` has grown."""
    task = asyncio.create_task(_forget_always(repository, library), name="forgetting")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def forget(repository: Path, library: StyleLibrary) -> None:
    """Drop the vectors of each CLIP that was retired, but for those that are searched.

    Raises:
        MaquetteError: it cannot be found out or done now.
    """
    retired = await asyncio.to_thread(_retired, repository)
    if not retired:
        return
    for clip in retired & set(await library.clips()) - {library.clip}:
        if await library.drop(clip):
            log.info("clip %d was retired; the styles' vectors of it are gone", clip)


async def _forget_always(repository: Path, library: StyleLibrary) -> None:
    seen, problem = None, ""
    while True:
        try:
            written = await asyncio.to_thread(aliases.stamp_of, repository / history.FILE)
            # What was searched when its CLIP was retired can go once another serves.
            stamp = (written, library.clip)
            if stamp != seen:
                await forget(repository, library)
                seen, problem = stamp, ""
        except (MaquetteError, OSError) as error:
            if str(error) != problem:
                log.warning("vectors of retired CLIPs are kept for now: %s", error)
            problem = str(error)
        await asyncio.sleep(LOOK_SECONDS)


def _retired(repository: Path) -> set[int]:
    # A version that is not there may be on a disk that is not there; so the history decides.
    told = {
        entry.from_version
        for entry in history.read(repository)
        if (entry.action, entry.model) == ("retire", PAIR) and entry.from_version is not None
    }
    kept = aliases.read(repository).clips()
    return told - kept - set(catalogue.on_disk(repository, CLIP[0]))
