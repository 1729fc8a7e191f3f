"""The repository as a copy of one in a store, and what the gateway says of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.information import Information
from gateway.rollout import replica
from gateway.rollout.replica import Replica
from gateway.settings import read
from gateway.wiring import _repository
from pipeline.errors import Cancelled, Unavailable
from tests.gateway.fakes import Painter
from tests.versions.engines import write_repository
from versions import aliases
from versions.aliases import Aliases
from versions.errors import Declined
from versions.repositories import LocalRepository, ObjectStoreRepository

AWAY = "The store is away."


class Away:
    """A store that can be reached, and then cannot."""

    def __init__(self):
        self.error = None
        self.looks = 0
        self.looked = asyncio.Event()
        self.loop = asyncio.get_running_loop()

    def sync_aliases(self):
        self.pull()

    def pull(self, report=None):
        self.looks += 1
        self.loop.call_soon_threadsafe(self.looked.set)
        if self.error:
            raise self.error


async def test_a_store_that_is_away_is_told_once_until_it_is_back(caplog):
    caplog.set_level(logging.INFO)
    store = Away()
    found = Replica(store)
    information = Information(Painter(), lambda: found.problem)
    for error, problem in ((None, ""), (Unavailable(AWAY), AWAY), (store.error, ""), (None, "")):
        store.error = error
        for _ in range(3):
            await found.look()
        assert (await information.facts()).problem == problem
    said = [(record.levelname, record.message) for record in caplog.records]
    assert said == [
        ("ERROR", f"the repository's copy may be behind: {AWAY}"),
        ("INFO", "the repository's copy is up to date again"),
    ]


async def test_it_looks_again_and_again_whatever_happens(monkeypatch, caplog):
    monkeypatch.setattr(replica, "PULL_SECONDS", 0.0)
    store = Away()
    async with Replica(store).following():
        for error in (None, Unavailable(AWAY), RuntimeError("a bug"), None):
            store.error = error
            for _ in range(2):
                store.looked.clear()
                await asyncio.wait_for(store.looked.wait(), 10)
    looks = store.looks
    await asyncio.sleep(0)
    assert store.looks == looks
    assert "could not be followed" in caplog.text


async def test_what_cannot_be_fetched_is_tried_ever_more_rarely():
    store = Away()
    found = Replica(store)
    pauses = []
    for error in (*[Declined("One object is not what it was.")] * 5, None, None):
        store.error = error
        await found.look()
        pauses.append(found._pause())
    assert pauses == [10.0, 20.0, 40.0, 60.0, 60.0, 5.0, 5.0]


async def test_what_is_being_fetched_ends_when_the_gateway_does():
    began, over, ended = threading.Event(), threading.Event(), []

    class Slow:
        def sync_aliases(self):
            pass

        def pull(self, report):
            try:
                for done in range(1000):
                    report("fetching model.onnx", done, 1000)
                    began.set()
                    time.sleep(0.01)
            except Cancelled:
                ended.append("cancelled")
            else:
                ended.append("fetched")
            over.set()

    async with Replica(Slow()).following():
        await asyncio.to_thread(began.wait, 10)
    assert await asyncio.to_thread(over.wait, 10)
    assert ended == ["cancelled"]


async def test_a_store_that_hangs_leaves_the_shared_threads_to_others():
    class Hanging(Away):
        began, go_on = threading.Barrier(3), threading.Event()

        def pull(self, report):
            self.began.wait(10)
            assert self.go_on.wait(30)

        def sync_aliases(self):
            self.pull(None)

    store = Hanging()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with Replica(store).following(), asyncio.timeout(20):
        # When both looks hang, this one thread is still free.
        await asyncio.to_thread(store.began.wait, 10)
    store.go_on.set()


async def test_what_others_change_arrives(url, tmp_path):
    write_repository(tmp_path / "exported")
    ObjectStoreRepository(url, tmp_path / "other").fill(tmp_path / "exported", "eve")
    folder = tmp_path / "mine" / "repository"
    ours = _repository(read(repository=folder, repository_url=url))
    assert isinstance(ours, ObjectStoreRepository)
    await Replica(ours).look()
    assert aliases.read(folder).of("vae_decoder") == Aliases()
    after = Aliases(champion=1, previous=1)
    ObjectStoreRepository(url, tmp_path / "other").change(
        lambda at: aliases.write(at, "vae_decoder", after), patient=True
    )
    await Replica(ours).look()
    assert aliases.read(folder).of("vae_decoder") == after


def test_which_repository_the_settings_mean(tmp_path):
    assert _repository(read(repository=None)) is None
    assert isinstance(_repository(read(repository=tmp_path)), LocalRepository)
    with pytest.raises(Unavailable, match="needs a folder for its copy"):
        read(repository=None, repository_url="s3://bucket/x")
    with pytest.raises(Unavailable, match="is named by MAQUETTE_REPOSITORY_URL"):
        read(repository="s3://bucket/x")
