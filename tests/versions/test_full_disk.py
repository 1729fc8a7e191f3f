"""A repository on a disk that is full: what is told, and that nothing is lost."""

from __future__ import annotations

import shutil

import pytest

from pipeline.errors import Unavailable
from tests.disks import BLOCK, fill
from versions import aliases, history, operations

MODEL = "vae_decoder"
ENOUGH = 40
"""Blocks for any of the operations below."""
OPERATIONS = {
    "publish": lambda folder, new: operations.publish(folder, MODEL, new(seed=2), who="ada"),
    "promote": lambda folder, _: operations.promote(
        folder, MODEL, 3, who="ada", force=True, why="a test"
    ),
    "retire": lambda folder, _: operations.retire(folder, MODEL, 2, who="ada"),
    "record": lambda folder, _: operations.record(
        folder, history.Entry("reembed", "clip", "ada", to_version=2)
    ),
}


@pytest.fixture
def full_disk(small_disk, built, new):
    """Nobody needs version 2, and version 3 is the candidate."""
    folder = shutil.copytree(built, small_disk / "repository")
    operations.publish(folder, MODEL, new(seed=3), who="eve")
    operations.publish(folder, MODEL, new(seed=1), who="eve")
    return folder


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_does_not_fit_is_told_and_done_once_there_is_room(full_disk, new, operation):
    """However far it comes: a block more is left at each attempt."""
    do = OPERATIONS[operation]
    new(seed=2)  # on another disk
    told = len(history.read(full_disk))
    refused = []
    for blocks in range(ENOUGH):
        filler = fill(full_disk.parent, blocks * BLOCK)
        try:
            do(full_disk, new)
            break
        except Unavailable as error:
            refused.append(str(error))
            aliases.read(full_disk)
            history.read(full_disk)
        finally:
            filler.unlink()
    assert refused
    for sentence in refused:
        assert str(full_disk) in sentence
        assert "make room" in sentence or "See that there is room" in sentence
    assert len(history.read(full_disk)) == told + 1
    assert not list(full_disk.rglob("*.partial"))
