from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.control import canny, lost_lines
from pipeline.images import decode
from tests.conftest import ROOT
from tests.pictures import encoded


def drawing(contrast):
    image = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(image).rectangle((60, 30, 140, 70), outline=(255 - contrast,) * 3, width=4)
    return image


def test_edges_lie_on_the_line_at_the_asked_size():
    edges = canny(drawing(255), width=400, height=200, low_threshold=50, high_threshold=150)
    assert edges.shape == (1, 200, 400)
    assert edges.dtype == np.uint8
    assert set(np.unique(edges)) == {0, 255}
    rows, columns = np.nonzero(edges[0])
    assert abs(columns.min() - 120) <= 3
    assert abs(rows.max() - 142) <= 3


def test_the_thresholds_decide_what_is_an_edge():
    faint = drawing(30)
    assert canny(faint, 200, 100, 50, 150).any()
    assert not canny(faint, 200, 100, 500, 900).any()


def fine_and_thick(fine="#888", paper="white", thick="black"):
    """A drawing of 2048 pixels a side: a house in thick lines, its bricks in fine ones."""
    image = Image.new("RGB", (2048, 2048), paper)
    pen = ImageDraw.Draw(image)
    for row in range(600, 1800, 60):
        pen.line((400, row, 1600, row), fine, width=1)
    pen.rectangle((400, 560, 1600, 1800), outline=thick, width=24)
    return encoded(image)


def lost(sketch, side=512):
    image = decode(sketch, "sketch")
    return lost_lines(image, canny(image, side, side, 50, 150)[0], 50, 150)


def test_fine_lines_that_fade_when_they_are_scaled_are_missed():
    assert lost(fine_and_thick()) > 0.3
    assert lost(fine_and_thick("#bbb", paper="black", thick="white")) == 0
    assert lost(fine_and_thick("#777", paper="black", thick="white"), side=256) > 0.3
    # These remain.
    assert lost(fine_and_thick("black")) == 0
    assert lost(fine_and_thick("white")) == 0


@pytest.mark.parametrize("name", ["town-house", "villa", "offices"])
def test_nothing_is_missed_of_the_bundled_sketches(name):
    assert lost((ROOT / f"examples/sketches/{name}.png").read_bytes(), 256) == 0


def test_details_of_a_photo_are_not_missed():
    photo = Image.effect_noise((1024, 1024), 90).convert("RGB")
    assert lost(encoded(photo), 128) == 0
