"""Sketches of any kind: what they are taken for, and what is left of their lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline import control, images
from pipeline.fidelity import edge_f1
from pipeline.sketch import kind_of
from tests.conftest import ROOT
from tests.pictures import encoded
from tests.sketches import MADE, SIDE, ink_of
from training.draw import draw_sketch
from training.scenes import make_scene

SIZE, THRESHOLDS = (256, 256), (50, 150)


def traced(sketch: Image.Image, kind: str) -> np.ndarray:
    return control.trace(sketch, SIZE, THRESHOLDS, kind, "canny")[0]


@pytest.fixture(scope="module")
def clean() -> list[Image.Image]:
    """Ten drawings that no network was trained on, with thin and thick lines."""
    widths = np.linspace(1.5, 5, 10)
    return [draw_sketch(make_scene(900_000 + i), SIDE, width) for i, width in enumerate(widths)]


@pytest.mark.parametrize("name", MADE)
def test_a_sketch_of_any_kind_is_known_and_keeps_its_lines(clean, name):
    make, wanted = MADE[name]
    random = np.random.default_rng(5)
    kinds, scores = [], []
    for drawing in clean:
        sketch = images.decode(encoded(make(ink_of(drawing), random)), "sketch")
        kinds.append(kind_of(sketch))
        scores.append(edge_f1(traced(drawing, "clean"), traced(sketch, kinds[-1])))
    assert kinds.count(wanted) >= 9, kinds
    assert min(scores) >= 0.95, scores


def test_a_clean_drawing_is_traced_as_it_is(clean):
    for drawing in clean:
        assert kind_of(drawing) == "clean"
        edges = control.canny(drawing, *SIZE, *THRESHOLDS)[0]
        assert (traced(drawing, "clean") == edges).all()


@pytest.mark.parametrize(
    "file",
    sorted([*ROOT.glob("examples/sketches/*.png"), *ROOT.glob("examples/styles/*.png")]),
    ids=lambda file: file.stem,
)
def test_what_is_no_photographed_drawing_stays_as_it_is(file: Path):
    assert kind_of(images.decode(file.read_bytes(), "sketch")) == "clean"


def test_a_decoded_picture_says_whether_it_was_transparent(clean):
    made = MADE["transparent"][0](ink_of(clean[0]), np.random.default_rng(0))
    assert images.to_png(encoded(made), "sketch").transparent
    opaque = clean[0].convert("RGBA")
    assert not images.to_png(encoded(opaque), "sketch").transparent


def test_lines_are_straight_level_and_upright():
    """Of a frame that leans by two degrees."""
    sheet = Image.new("RGB", (512, 512), "white")
    pen = ImageDraw.Draw(sheet)
    pen.line([(60, 60), (440, 70), (430, 440), (50, 430), (60, 60)], "black", 4)
    edges = control.trace(sheet, SIZE, THRESHOLDS, "clean", "canny")[0] > 0
    lines = control.trace(sheet, SIZE, THRESHOLDS, "clean", "lines")[0] > 0
    for each in (lines, lines.T):
        longest = [_longest_run(row) for row in each]
        assert sorted(longest)[-2:] >= [170, 170]
    assert max(_longest_run(row) for row in edges) < 120


def _longest_run(row: np.ndarray) -> int:
    padded = np.concatenate([[0], row.astype(int), [0]])
    ends = np.flatnonzero(np.diff(padded))
    return int((ends[1::2] - ends[::2]).max(initial=0))
