"""What becomes of the styles' vectors when the CLIP that made them is retired."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.rollout import vector_cleanup
from pipeline.errors import Unavailable
from retrieval.library import open_library
from retrieval.styles import NewStyle
from tests.gateway.fakes import Painter
from tests.versions.engines import write_version
from versions import aliases, operations
from versions.aliases import CLIP, PAIR, Aliases

EMBED = Painter().embed_image


@pytest.fixture
def repository(tmp_path):
    """One with three CLIPs, of which the first two have an alias."""
    folder = tmp_path / "repository"
    for network in CLIP:
        for version in (1, 2, 3):
            write_version(folder / network / str(version), network, seed=version)
    aliases.write(folder, CLIP[0], Aliases(champion=1, previous=2))
    return folder


@pytest.fixture
async def library(tmp_path, style_image):
    """A style with vectors of all three."""
    async with open_library(tmp_path / "library") as opened:
        await opened.add(NewStyle(style_image, "winter", []), EMBED)
        for clip in (2, 3):
            async with aclosing(opened.reembed(clip, EMBED)) as steps:
                assert [step async for step in steps][-1].complete
        yield opened


def retire(repository, version):
    operations.retire(repository, PAIR, version, who="me")


async def test_vectors_of_a_retired_clip_are_dropped_and_no_others(repository, library):
    await vector_cleanup.forget(repository, library)
    assert await library.clips() == (1, 2, 3)
    retire(repository, 3)
    await vector_cleanup.forget(repository, library)
    assert await library.clips() == (1, 2)
    assert (await library.get("winter")).id == "winter"


async def test_what_is_searched_stays_until_another_serves(repository, library):
    """As where the champion's vectors are not all there."""
    await library.use(3)
    retire(repository, 3)
    await vector_cleanup.forget(repository, library)
    assert await library.clips() == (1, 2, 3)
    await library.use(1)
    await vector_cleanup.forget(repository, library)
    assert await library.clips() == (1, 2)


async def test_what_was_searched_when_it_was_retired_goes_once_another_serves(
    repository, library, monkeypatch
):
    monkeypatch.setattr(vector_cleanup, "LOOK_SECONDS", 0.01)
    looked, drop, dropped = asyncio.Event(), library.drop, asyncio.Event()
    forget = vector_cleanup.forget

    async def noted(*what):
        await forget(*what)
        looked.set()

    async def drop_and_tell(clip):
        found = await drop(clip)
        dropped.set()
        return found

    monkeypatch.setattr(vector_cleanup, "forget", noted)
    monkeypatch.setattr(library, "drop", drop_and_tell)
    await library.use(3)
    retire(repository, 3)
    async with vector_cleanup.forgetting(repository, library), asyncio.timeout(20):
        await looked.wait()
        await library.use(1)
        await dropped.wait()
    assert await library.clips() == (1, 2)


async def test_versions_that_are_missing_but_were_not_retired_keep_their_vectors(
    repository, library, tmp_path
):
    (repository / CLIP[0] / "3").rename(tmp_path / "away")
    await vector_cleanup.forget(repository, library)
    assert await library.clips() == (1, 2, 3)


@pytest.mark.parametrize("back", ["its files", "an alias"])
async def test_what_came_back_by_hand_keeps_its_vectors(repository, library, back):
    retire(repository, 3)
    if back == "an alias":
        aliases.write(repository, CLIP[0], Aliases(champion=1, candidate=3))
    else:
        write_version(repository / CLIP[0] / "3", CLIP[0])
    await vector_cleanup.forget(repository, library)
    assert await library.clips() == (1, 2, 3)


async def test_they_are_dropped_while_a_gateway_runs_also_when_it_fails_at_first(
    repository, library, monkeypatch
):
    monkeypatch.setattr(vector_cleanup, "LOOK_SECONDS", 0.01)
    drop, failed, dropped = library.drop, asyncio.Event(), asyncio.Event()

    async def fail_once(clip):
        if not failed.is_set():
            failed.set()
            raise Unavailable("Qdrant does not answer.")
        found = await drop(clip)
        dropped.set()
        return found

    monkeypatch.setattr(library, "drop", fail_once)
    async with vector_cleanup.forgetting(repository, library), asyncio.timeout(20):
        retire(repository, 3)
        await dropped.wait()
    assert failed.is_set()
    assert await library.clips() == (1, 2)
