"""What a power cut leaves: the order in which the disk is told and waited for."""

from __future__ import annotations

import json
import os
import resource
import stat
from pathlib import Path

import pytest

from versions import durable, history, operations
from versions.history import Entry


@pytest.fixture
def steps(monkeypatch):
    """Every wait for the disk and every new name, in order."""
    seen = []
    replace, rename = os.replace, os.rename

    def sync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        seen.append((f"sync {kind}", path.name))

    def replaced(source, target):
        seen.append(("replace", Path(target).name))
        replace(source, target)

    def renamed(source, target):
        seen.append(("rename", Path(target).name))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replaced)
    monkeypatch.setattr(os, "rename", renamed)
    return seen


def test_a_file_takes_its_place_when_all_of_it_is_on_the_disk(tmp_path, steps):
    (tmp_path / "folder").mkdir()
    durable.write_json(tmp_path / "folder/facts.json", {"a": 1})
    assert steps == [
        ("sync file", ".facts.json.partial"),
        ("replace", "facts.json"),
        ("sync folder", "folder"),
    ]
    assert json.loads((tmp_path / "folder/facts.json").read_text()) == {"a": 1}
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["facts.json"]


def test_a_line_of_history_is_on_the_disk_when_it_is_told(tmp_path, steps):
    history.append(tmp_path, Entry("promote", "unet", "ada"))
    assert steps[0] == ("sync file", history.FILE)


def test_a_version_is_on_the_disk_before_an_alias_names_it(repository, new, steps):
    source = new()
    steps.clear()
    operations.publish(repository, "vae_decoder", source, who="ada")
    order = [
        ("replace", ".copying.json"),
        ("sync file", "model.onnx"),
        ("replace", "manifest.json"),
        ("sync folder", ".2.partial"),
        ("replace", ".intent.json"),
        ("rename", "2"),
        ("sync folder", "vae_decoder"),
        ("replace", "aliases.json"),
        ("sync file", "history.jsonl"),
    ]
    at = [steps.index(step) for step in order if step != ("sync folder", "vae_decoder")]
    assert at == sorted(at)
    renamed = steps.index(("rename", "2"))
    assert ("sync folder", "vae_decoder") in steps[
        renamed : steps.index(("replace", "aliases.json"))
    ]


def test_what_cannot_be_written_whole_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "night.png").write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel lets no file grow beyond this, as if the disk were full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            durable.write_bytes(tmp_path / "night.png", b"new" * 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "night.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["night.png"]


def test_a_file_that_is_replaced_hands_on_its_permissions_and_its_link(tmp_path):
    (tmp_path / "night.png").touch(mode=0o600)
    (tmp_path / "link.png").symlink_to("night.png")
    durable.write_bytes(tmp_path / "link.png", b"new")
    assert (tmp_path / "night.png").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "night.png").stat().st_mode) == 0o600
    assert (tmp_path / "link.png").is_symlink()
