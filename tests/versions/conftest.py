from __future__ import annotations

import os
import shutil

import pytest

from tests.versions.engines import write_repository, write_version
from versions.repositories import ObjectStoreRepository


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    """Nothing here loses its power, so the disk need not be waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return write_repository(tmp_path_factory.mktemp("built") / "repository")


@pytest.fixture
def repository(built, tmp_path):
    """One with version 1 of every network."""
    return shutil.copytree(built, tmp_path / "repository")


@pytest.fixture
def new(tmp_path):
    """Makes an engine in a folder of its own, ready to be published."""

    def make(network="vae_decoder", seed=1, **facts):
        return write_version(tmp_path / "new" / f"{network}-{seed}", network, seed, **facts)

    return make


@pytest.fixture
def machine(url, built, tmp_path):
    """Machines that work on one repository in a store, each with a copy of its own."""
    ObjectStoreRepository(url, tmp_path / "nobody").fill(built, "eve")

    def make(name):
        found = ObjectStoreRepository(url, tmp_path / name / "repository")
        found.pull()
        return found

    return make
