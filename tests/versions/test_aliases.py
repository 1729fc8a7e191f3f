"""Which versions serve, as the gateway reads it while commands change it."""

from __future__ import annotations

import os
import threading

import pytest

from pipeline.errors import InvalidRequest, NotFound, Unavailable
from pipeline.pinned_versions import PinnedVersions
from versions import aliases
from versions.aliases import CLIP, VERSIONED, Aliases


def test_without_files_everything_is_as_exported(tmp_path):
    found = aliases.read(tmp_path)
    assert found.served_versions() == {"champion": PinnedVersions()}
    assert {model: found.of(model) for model in VERSIONED} == dict.fromkeys(VERSIONED, Aliases())
    assert not list(tmp_path.iterdir()), "a reader writes nothing"


def test_a_line_up_has_the_champion_of_what_has_no_such_version(tmp_path):
    aliases.write(tmp_path, "unet", Aliases(champion=3, candidate=4, previous=1))
    aliases.write(tmp_path, "vae_decoder", Aliases(champion=2))
    found = aliases.read(tmp_path)
    assert found.served_versions() == {
        "champion": PinnedVersions(unet=3, vae_decoder=2),
        "candidate": PinnedVersions(unet=4, vae_decoder=2),
        "previous": PinnedVersions(unet=1, vae_decoder=2),
    }
    assert found.candidates() == {"unet": 4}


def test_aliases_that_no_network_has_are_told(tmp_path):
    found = aliases.read(tmp_path)
    with pytest.raises(NotFound, match="No network has a candidate version"):
        found.pinned("candidate")
    with pytest.raises(InvalidRequest, match="allowed: champion, candidate, previous"):
        found.pinned("newest")


@pytest.mark.parametrize("model", CLIP)
def test_one_file_speaks_for_the_pair(tmp_path, model):
    """So that the two can never be of different versions, whenever a command is killed."""
    aliases.write(tmp_path, model, Aliases(champion=2))
    found = aliases.read(tmp_path)
    assert found.of("clip_text") == found.of("clip_image") == found.of("clip") == Aliases(2)
    assert len(list(tmp_path.rglob(aliases.FILE))) == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"champion": 0}', '{"champion": "1"}', '{"champion": true}', '{"best": 1}',
     '{"champion": null}', '{"champion": 1, "candidate": -1}', "[" * 100_000, "\0" * 20],
)  # fmt: skip
def test_a_damaged_file_is_one_sentence(tmp_path, text):
    aliases.write(tmp_path, "unet", Aliases())
    aliases.path_of(tmp_path, "unet").write_text(text)
    with pytest.raises(Unavailable, match=r"unet/aliases.json does not say which versions serve"):
        aliases.read(tmp_path)


def test_the_stamp_changes_with_every_write_even_within_a_tick_of_the_clock(tmp_path):
    path = aliases.path_of(tmp_path, "unet")
    seen = {aliases.stamp(tmp_path)}
    for version in (2, 3):
        aliases.write(tmp_path, "unet", Aliases(version))
        os.utime(path, ns=(0, 0))
        seen.add(aliases.stamp(tmp_path))
    assert len(seen) == 3
    assert aliases.stamp(tmp_path) in seen, "a look alone changes nothing"


def test_a_reader_never_sees_half_of_a_change(tmp_path):
    aliases.write(tmp_path, "unet", Aliases(1))
    seen = []
    with aliases.locked_for_writing(tmp_path):
        aliases.write(tmp_path, "unet", Aliases(3))
        reader = threading.Thread(target=lambda: seen.append(aliases.read(tmp_path)))
        reader.start()
        aliases.write(tmp_path, "vae_decoder", Aliases(2))
        assert not seen
    reader.join()
    assert seen[0].pinned() == PinnedVersions(unet=3, vae_decoder=2)
