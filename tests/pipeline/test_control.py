from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from pipeline.control import canny


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
