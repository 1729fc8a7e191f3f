"""The training data: seeded, split, and true to its own sketches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.fidelity import structure_f1
from pipeline.request import DEFAULTS
from training import dataset
from training.captions import captions
from training.phrases import PHRASES
from training.samples import SEEDS, SIDE, Sample, seed_of
from training.scenes import make_scene, wobble
from training.styles import STYLES

THRESHOLDS = (DEFAULTS["canny_low_threshold"], DEFAULTS["canny_high_threshold"])


def test_a_seed_always_gives_the_same_scene_and_another_seed_another() -> None:
    assert make_scene(7) == make_scene(7)
    assert make_scene(7) != make_scene(8)


def test_a_sample_is_drawn_the_same_way_twice() -> None:
    first, again, other = (Sample.describe("train", index) for index in (5, 5, 29))
    assert np.array_equal(first.render(), again.render())
    assert np.array_equal(first.edges(), again.edges())
    assert first.style == other.style
    assert first.worn != other.worn


def test_neighbours_wear_one_look_on_two_buildings() -> None:
    one, two = (Sample.describe("train", index) for index in (10, 11))
    assert one.worn == two.worn
    assert one.scene != two.scene


def test_splits_share_no_seed_with_each_other_or_with_what_ships() -> None:
    train, development, held_out = (SEEDS[name] for name in ("train", "development", "held_out"))
    assert max(train) < min(development)
    assert max(development) < min(held_out)
    assert min(train) >= 1000
    with pytest.raises(IndexError):
        seed_of("held_out", len(held_out))


@pytest.mark.parametrize("style", range(len(STYLES)), ids=[style.name for style in STYLES])
def test_true_renders_keep_their_sketch_in_every_style_and_look(style: int) -> None:
    for look in range(3):
        sample = Sample.describe("held_out", 2 * (style + look * len(STYLES)))
        assert sample.style == style
        assert structure_f1(sample.edges(), sample.render(), *THRESHOLDS) >= 0.9


def test_an_unsteady_hand_moves_lines_only_a_little() -> None:
    scene = make_scene(3)
    moved = wobble(scene, 0.008, np.random.default_rng(0))
    wall, wobbled = (
        np.array(next(shape for shape in one.shapes if shape.part == "wall").outline)
        for one in (scene, moved)
    )
    nearest = np.linalg.norm(wobbled[:, None] - wall[None], axis=2).min(axis=0)
    assert 0 < nearest.max() < 0.012


def test_every_style_has_phrases_to_learn_and_phrases_to_be_asked() -> None:
    assert list(PHRASES) == [style.name for style in STYLES]
    assert all(len(phrases.trained) >= 20 for phrases in PHRASES.values())
    assert sum(len(phrases.held_out) for phrases in PHRASES.values()) >= 120


def test_no_held_out_phrase_is_ever_trained_on() -> None:
    corpus = "\n".join(dict.fromkeys(captions()))
    asked = [phrase for phrases in PHRASES.values() for phrase in phrases.held_out]
    assert [phrase for phrase in asked if phrase in corpus] == []


def test_a_data_set_holds_what_its_samples_draw(tmp_path: Path) -> None:
    done: list[int] = []
    drawn = dataset.draw(tmp_path, "train", 4, workers=1, report=done.append)
    sample = Sample.describe("train", 3)
    assert sum(done) == 4
    assert np.array_equal(drawn.pixels[3], sample.render())
    assert np.array_equal(np.unpackbits(drawn.edges[3], axis=1), sample.edges() // 255)
    assert drawn.pixels.shape == (4, SIDE, SIDE, 3)
    assert drawn.styles[3] == sample.style
    assert dataset.read(tmp_path) == drawn


def test_an_unfinished_data_set_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="training data"):
        dataset.read(tmp_path)
