"""Style vectors of more than one CLIP version, over Qdrant's embedded engine."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient, QdrantClient, models
from qdrant_client.local import async_qdrant_local

from pipeline.errors import (
    Conflict,
    InvalidRequest,
    MaquetteError,
    NotFound,
    StageFailed,
    Unavailable,
)
from pipeline.images import encode_png
from pipeline.topology import SD15
from retrieval.library import StyleLibrary, open_library
from retrieval.pictures import Pictures, digest
from retrieval.styles import NewStyle, Style, point_id

NAMES = [f"style-{number}" for number in range(5)]


def picture(name):
    """A picture of its own for each name, as the library stores it."""
    colour = list(hashlib.sha256(name.encode()).digest()[:3])
    return encode_png(np.full((16, 16, 3), colour, np.uint8))


def vector(png, clip):
    """A direction that depends on the picture and on the CLIP version, and on nothing else."""
    seed = int.from_bytes(hashlib.sha256(png + bytes([clip])).digest()[:8], "big")
    found = np.random.default_rng(seed).standard_normal(SD15.clip_dim).astype(np.float32)
    return found / np.linalg.norm(found)


async def embed(png, clip):
    return vector(png, clip)


class Embedder:
    """Counts what it embeds; from call `halt_at` on it waits until it is told to go on.

    It has halted once `waiting` calls wait.
    """

    def __init__(self, halt_at=1_000, waiting=1):
        self.calls = []
        self.halted, self.go_on = asyncio.Event(), asyncio.Event()
        self._halt_at, self._waiting = halt_at, waiting

    async def __call__(self, png, clip):
        self.calls.append((digest(png), clip))
        if len(self.calls) > self._halt_at:
            if len(self.calls) == self._halt_at + self._waiting:
                self.halted.set()
            await self.go_on.wait()
        return vector(png, clip)


async def fill(library, names=NAMES):
    for name in names:
        await library.add(
            NewStyle(picture(name), name, ["odd" if int(name[-1]) % 2 else "even"]), embed
        )


async def reembed(library, clip=2, embed=embed):
    """Every step of a re-embedding."""
    async with aclosing(library.reembed(clip, embed)) as steps:
        return [step async for step in steps]


async def styles(library):
    return (await library.page(100)).styles


async def rank(library, query, clip, tags=()):
    """What a search with the vector `query` must find, worked out with NumPy."""
    scored = [
        (style.id, float(vector(await library.picture(style), clip) @ query))
        for style in await styles(library)
        if set(tags) <= set(style.tags)
    ]
    return sorted(scored, key=lambda item: -item[1])


async def check_searches(library, clip):
    """The library serves `clip`, and finds what its vectors say."""
    assert library.clip == clip
    for name in [*NAMES, "another"]:
        for tags in ((), ("odd",)):
            query = vector(picture(name), clip)
            found = await library.search(query, tags, limit=100)
            expected = await rank(library, query, clip, tags)
            assert [item.style.id for item in found] == [identity for identity, _ in expected]
            scores = [score for _, score in expected]
            assert [item.score for item in found] == pytest.approx(scores, abs=1e-5)


@pytest.fixture
async def library(tmp_path):
    async with open_library(tmp_path) as opened:
        await fill(opened)
        yield opened


# Switching


async def test_after_a_switch_searches_find_what_the_other_version_finds(library):
    await check_searches(library, 1)
    steps = await reembed(library)
    await check_searches(library, 1)
    assert [(step.done, step.complete) for step in steps] == [
        (0, False), (2, False), (4, False), (5, False), (5, True)
    ]  # fmt: skip
    assert all(step.total == 5 and not step.failed for step in steps)
    await library.use(2)
    await check_searches(library, 2)
    await library.use(1)
    await check_searches(library, 1)


async def test_a_search_under_a_switch_asks_the_version_that_made_its_vector(library):
    await reembed(library)
    query = vector(picture("style-3"), 1)
    await library.use(2)
    found = await library.search(query, (), 5, clip=1)
    assert (found[0].style.id, found[0].score) == ("style-3", pytest.approx(1.0, abs=1e-5))
    expected = await rank(library, query, 1)
    assert [item.style.id for item in found] == [identity for identity, _ in expected]


async def test_a_version_without_vectors_is_refused_and_the_old_one_serves_on(library):
    with pytest.raises(NotFound, match="no vectors of CLIP version 2.*reembed"):
        await library.use(2)
    await check_searches(library, 1)
    assert await library.clips() == (1,)


@pytest.mark.parametrize("done", [0, 4, 5])
async def test_vectors_that_are_not_known_to_be_complete_are_refused(library, done):
    async with aclosing(library.reembed(2, embed)) as steps:
        async for step in steps:
            if step.done == done:
                break
    assert await library.clips() == (1, 2)
    with pytest.raises(Unavailable, match="CLIP version 2 are not complete.*reembed"):
        await library.use(2)
    await check_searches(library, 1)


async def test_vectors_that_another_writer_left_behind_are_refused(tmp_path):
    """Though they were complete once."""
    async with open_library(tmp_path) as library:
        await fill(library)
        await reembed(library)
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    style = Style("new", "new", (), digest(picture("new")), 16, 16)
    point = models.PointStruct(
        id=point_id("new"), vector=[0.0] * SD15.clip_dim, payload=style.payload()
    )
    client.upsert("styles", [point])
    client.close()
    async with open_library(tmp_path) as library:
        with pytest.raises(Unavailable, match="not complete"):
            await library.use(2)


# Opening


async def test_a_library_from_before_there_were_versions_opens_and_can_be_returned_to(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    vectors = models.VectorParams(size=SD15.clip_dim, distance=models.Distance.DOT)
    client.create_collection("styles", vectors_config=vectors)
    for name in NAMES:
        png = picture(name)
        (folder / f"{digest(png)}.png").write_bytes(png)
        payload = {
            "id": name, "name": name, "tags": ["odd"], "sha256": digest(png),
            "width": 16, "height": 16,
        }  # fmt: skip
        point = models.PointStruct(
            id=point_id(name), vector=vector(png, 1).tolist(), payload=payload
        )
        client.upsert("styles", [point])
    client.close()
    async with open_library(tmp_path) as library:
        await check_searches(library, 1)
        await reembed(library)
        await library.use(2)
        await check_searches(library, 2)
        await library.use(1)
        await check_searches(library, 1)


async def test_the_version_asked_for_serves_from_the_start(tmp_path):
    async with open_library(tmp_path) as library:
        await fill(library)
        await reembed(library)
    async with open_library(tmp_path, clip=2) as library:
        await check_searches(library, 2)


async def test_a_version_that_cannot_serve_leaves_it_to_one_that_can(tmp_path):
    async with open_library(tmp_path) as library:
        await fill(library)
        await reembed(library, 2)
        async with aclosing(library.reembed(3, embed)) as steps:
            await anext(steps)
    for absent_or_unfinished in (3, 4):
        async with open_library(tmp_path, clip=absent_or_unfinished) as library:
            await check_searches(library, 2)
            with pytest.raises(MaquetteError, match="reembed"):
                await library.use(absent_or_unfinished)


async def test_a_new_library_begins_with_the_version_asked_for(tmp_path):
    async with open_library(tmp_path, clip=3) as library:
        assert await library.clips() == (3,)
        await fill(library)
        await check_searches(library, 3)
    async with open_library(tmp_path, clip=3) as library:
        await check_searches(library, 3)


async def test_collections_of_others_are_left_alone(tmp_path):
    client = AsyncQdrantClient(":memory:")
    vectors = models.VectorParams(size=4, distance=models.Distance.DOT)
    for name in ("styles.clip1", "styles.clip02", "styles.clip", "other7", "styles.clip2.old"):
        await client.create_collection(name, vectors_config=vectors)
    library = StyleLibrary(client, Pictures(tmp_path))
    await library.prepare()
    assert await library.clips() == (1,)
    await client.close()


# Writing


async def everything(library):
    """The styles by each version, after seeing that both find them by their own vectors."""
    await library.use(2)
    await check_searches(library, 2)
    second = await styles(library)
    await library.use(1)
    await check_searches(library, 1)
    assert second == await styles(library)
    return {style.id: style for style in second}


async def test_what_is_written_is_written_to_every_version(library):
    await reembed(library)
    await library.add(NewStyle(picture("new"), "new", []), embed)
    await library.add(NewStyle(picture("other"), "style 1", [], replace=True), embed)
    await library.remove("style-2")
    found = await everything(library)
    assert set(found) == {"style-0", "style-1", "style-3", "style-4", "new"}
    assert await library.picture(found["style-1"]) == picture("other")


@pytest.mark.parametrize("gateways", [1, 2])
async def test_styles_come_and_go_during_a_reembedding(tmp_path, gateways):
    client, pictures = AsyncQdrantClient(":memory:"), Pictures(tmp_path)
    library = StyleLibrary(client, pictures)
    await library.prepare()
    await fill(library)
    other = library if gateways == 1 else StyleLibrary(client, pictures)
    embedder = Embedder(halt_at=2, waiting=2)
    running = asyncio.create_task(reembed(library, 2, embedder))
    await embedder.halted.wait()
    by_digest = {style.sha256: style.id for style in await styles(library)}
    turns = [by_digest.pop(sha256) for sha256, _ in embedder.calls] + list(by_digest.values())
    after, _, removed, replaced, before = turns
    await other.remove(after)
    await other.remove(removed)  # while it is embedded
    await other.add(NewStyle(picture("another"), replaced, [], replace=True), embed)  # the same
    await other.remove(before)
    await other.add(NewStyle(picture("new"), "new", ["odd"]), embed)
    embedder.go_on.set()
    steps = await running
    assert steps[-1].complete
    assert not steps[-1].failed
    found = await everything(library)
    assert set(found) == {*NAMES, "new"} - {after, removed, before}
    assert await library.picture(found[replaced]) == picture("another")
    await client.close()


async def test_a_style_that_was_on_its_way_when_a_reembedding_began_is_in_both(library):
    adder = Embedder(halt_at=0)
    adding = asyncio.create_task(library.add(NewStyle(picture("new"), "new", []), adder))
    await adder.halted.wait()
    await reembed(library)
    adder.go_on.set()
    await adding
    assert "new" in await everything(library)


async def test_a_version_that_serves_no_longer_does_not_hinder_adding(library):
    async def gone(png, clip):
        if clip == 2:
            raise Unavailable("clip_image 2 is not loaded.")
        return vector(png, clip)

    await reembed(library)
    await library.add(NewStyle(picture("new"), "new", []), gone)
    await check_searches(library, 1)
    with pytest.raises(Unavailable, match="not complete"):
        await library.use(2)
    await library.prepare(2)  # as the next process would
    assert library.clip == 1
    embedder = Embedder()
    assert (await reembed(library, 2, embedder))[-1].complete
    assert embedder.calls == [(digest(picture("new")), 2)]
    assert "new" in await everything(library)


async def test_without_a_vector_of_the_version_that_serves_nothing_is_added(library):
    async def down(png, clip):
        if clip == 1:
            raise Unavailable("clip_image does not answer.")
        return vector(png, clip)

    await reembed(library)
    with pytest.raises(Unavailable, match="clip_image does not answer"):
        await library.add(NewStyle(picture("new"), "new", []), down)
    assert set(await everything(library)) == set(NAMES)


# Re-embedding


@pytest.mark.parametrize("embedded", range(6))
async def test_a_reembedding_that_was_cancelled_goes_on_where_it_was(library, embedded):
    first, second = Embedder(halt_at=embedded), Embedder()
    running = asyncio.create_task(reembed(library, 2, first))
    halted = asyncio.create_task(first.halted.wait())
    await asyncio.wait([running, halted], return_when=asyncio.FIRST_COMPLETED)
    for task in (running, halted):
        task.cancel()
    await asyncio.gather(running, halted, return_exceptions=True)
    steps = await reembed(library, 2, second)
    assert steps[-1].complete
    # Two are embedded at once, and written when both are.
    whole_pairs = embedded if embedded == len(NAMES) else embedded // 2 * 2
    written = {sha256 for sha256, _ in first.calls[:whole_pairs]}
    again = [sha256 for sha256, _ in second.calls]
    assert sorted(again) == sorted({digest(picture(name)) for name in NAMES} - written)
    assert steps[0].done == len(written)
    await everything(library)


async def test_a_picture_that_cannot_be_embedded_is_told_and_the_others_are_done(library, tmp_path):
    lost = await library.get("style-1")
    (tmp_path / "pictures" / f"{lost.sha256}.png").unlink()

    async def choosy(png, clip):
        if png == picture("style-2"):
            raise StageFailed("clip_image failed.")
        return np.full(SD15.clip_dim, np.nan) if png == picture("style-3") else vector(png, clip)

    last = (await reembed(library, 2, choosy))[-1]
    assert (last.done, last.total, last.complete) == (2, 5, False)
    assert set(last.failed) == {"style-1", "style-2", "style-3"}
    assert "missing" in last.failed["style-1"]
    assert last.failed["style-2"] == "clip_image failed."
    assert "finite" in last.failed["style-3"]
    with pytest.raises(Unavailable, match="not complete"):
        await library.use(2)
    await library.remove("style-1")
    assert (await reembed(library))[-1].complete
    assert set(await everything(library)) == set(NAMES) - {"style-1"}


async def test_a_complete_version_is_not_embedded_again(library):
    await reembed(library)
    embedder = Embedder()
    steps = await reembed(library, 2, embedder)
    assert [(step.done, step.complete) for step in steps] == [(5, True)]
    assert (await reembed(library, 1, embedder))[-1].complete
    assert embedder.calls == []


async def test_a_reembedding_runs_once_at_a_time_and_is_not_dropped_meanwhile(library):
    async with aclosing(library.reembed(2, embed)) as steps:
        await anext(steps)
        with pytest.raises(Conflict, match="CLIP version 2 already"):
            await reembed(library)
        with pytest.raises(Conflict, match="CLIP version 2 already"):
            await library.drop(2)
    assert (await reembed(library))[-1].complete


# Dropping


async def test_dropped_vectors_are_gone_and_can_be_made_anew(library, tmp_path):
    await reembed(library)
    await library.use(2)
    with pytest.raises(InvalidRequest, match="^clip is 2.*does not serve"):
        await library.drop(2)
    assert await library.drop(1)
    assert await library.clips() == (2,)
    assert [path.name for path in (tmp_path / "qdrant/collection").iterdir()] == ["styles.clip2"]
    assert not await library.drop(1)
    await check_searches(library, 2)
    assert (await reembed(library, 1))[-1].complete
    await everything(library)


async def test_an_opened_library_does_not_make_anew_what_was_dropped(tmp_path):
    async with open_library(tmp_path) as library:
        await fill(library)
        await reembed(library)
        await library.use(2)
        await library.drop(1)
    async with open_library(tmp_path) as library:
        assert await library.clips() == (2,)
        await check_searches(library, 2)


# Crashes


class Killed(BaseException):
    """The process is no more."""


class Mortal(AsyncQdrantClient):
    """Dies at the write number `lives`; what it wrote until then is kept."""

    lives = 1_000

    def _count(self):
        self.lives -= 1
        if self.lives < 0:
            raise Killed

    async def upsert(self, *args, **kwargs):
        self._count()
        return await super().upsert(*args, **kwargs)

    async def delete(self, *args, **kwargs):
        self._count()
        return await super().delete(*args, **kwargs)

    async def create_collection(self, *args, **kwargs):
        self._count()
        return await super().create_collection(*args, **kwargs)

    async def update_collection(self, *args, **kwargs):
        self._count()
        return await super().update_collection(*args, **kwargs)

    async def delete_collection(self, *args, **kwargs):
        self._count()
        return await super().delete_collection(*args, **kwargs)


@asynccontextmanager
async def mortal(folder, versions):
    """A client and a library with vectors of `versions`."""
    client = Mortal(":memory:")
    library = StyleLibrary(client, Pictures(folder))
    await library.prepare()
    await fill(library)
    for clip in versions[1:]:
        await reembed(library, clip)
    yield client, library
    await client.close()


async def add(library):
    await library.add(NewStyle(picture("new"), "new", []), embed)


async def replace(library):
    await library.add(NewStyle(picture("new"), "style-1", [], replace=True), embed)


async def remove(library):
    await library.remove("style-1")


async def drop(library):
    await library.drop(2)


@pytest.mark.parametrize(
    ("versions", "change"),
    [((1,), reembed), ((1, 2), add), ((1, 2), replace), ((1, 2), remove), ((1, 2), drop)],
)
async def test_a_crash_at_any_write_leaves_what_can_be_served_and_mended(
    tmp_path, versions, change
):
    async with mortal(tmp_path / "healthy", versions) as (client, library):
        before, client.lives = await styles(library), 1_000
        await change(library)
        after, writes = await styles(library), 1_000 - client.lives
    for lives in range(writes):
        async with mortal(tmp_path / str(lives), versions) as (client, dying):
            client.lives = lives
            with pytest.raises(Killed):
                await change(dying)
            client.lives = 1_000
            library = StyleLibrary(client, dying._pictures)
            await library.prepare(2)
            # What was not acknowledged may have happened or not, but nothing else.
            assert await styles(library) in (before, after)
            await check_searches(library, library.clip)
            await library.prepare(1)
            assert await styles(library) == before
            await check_searches(library, 1)
            assert (await reembed(library))[-1].complete
            await change(library)
            await reembed(library)
            await everything(library)


async def test_vectors_that_a_crash_left_half_dropped_do_not_serve(tmp_path, monkeypatch):
    """Embedded, the points go from the disk before the collection's name does."""

    def remove_and_die(path, **options):
        shutil.rmtree(path)
        raise Killed

    async with open_library(tmp_path) as library:
        await fill(library)
        await reembed(library)
        with monkeypatch.context() as patch:
            patch.setattr(async_qdrant_local, "shutil", SimpleNamespace(rmtree=remove_and_die))
            with pytest.raises(Killed):
                await library.drop(2)
    async with open_library(tmp_path, clip=2) as library:
        assert await library.clips() == (1, 2)
        await check_searches(library, 1)
        assert await library.drop(2)
        assert await library.clips() == (1,)


async def test_a_picture_stays_while_any_version_names_it(tmp_path):
    async with mortal(tmp_path, (1, 2)) as (client, dying):
        client.lives = 1
        with pytest.raises(Killed):
            await replace(dying)  # in version 2, and not in 1
        client.lives = 1_000
        library = StyleLibrary(client, dying._pictures)
        await library.prepare()
        await add(library)
        await library.remove("new")
        await library.prepare(2)
        assert await library.picture(await library.get("style-1")) == picture("new")


REEMBED_AND_DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from retrieval.library import open_library
from tests.retrieval.test_versions import Embedder, vector

class Last(Embedder):
    async def __call__(self, png, clip):
        if len(self.calls) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return await super().__call__(png, clip)

async def main():
    async with open_library(Path(sys.argv[1])) as library:
        async for _ in library.reembed(2, Last()):
            pass

asyncio.run(main())
"""


async def test_a_killed_process_leaves_what_the_next_one_finishes(tmp_path):
    async with open_library(tmp_path) as library:
        await fill(library)
    command = [sys.executable, "-c", REEMBED_AND_DIE, str(tmp_path)]
    died = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, "PYTHONPATH": str(Path.cwd())}, timeout=120
    )
    assert died.returncode == -signal.SIGKILL
    async with open_library(tmp_path, clip=2) as library:
        await check_searches(library, 1)
        embedder = Embedder()
        steps = await reembed(library, 2, embedder)
        assert (steps[0].done, len(embedder.calls)) == (2, 3)
        await everything(library)
