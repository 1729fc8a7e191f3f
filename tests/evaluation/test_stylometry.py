"""The untrained measure of style."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from evaluation.stylometry import Stylometer
from training.samples import Sample
from training.styles import STYLES

ASKED = 60


@pytest.fixture(scope="module")
def stylometer() -> Stylometer:
    return Stylometer.bundled()


@pytest.mark.parametrize("blur", [0, 1.5])
def test_true_renders_of_unseen_looks_are_told_apart(stylometer: Stylometer, blur: float) -> None:
    right = 0
    for index in range(ASKED):
        sample = Sample.describe("held_out", 2 * index)
        picture = sample.render()
        if blur:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), blur), np.uint8)
        right += stylometer.style_of(picture) == STYLES[sample.style].name
    assert right / ASKED >= 0.95


def test_colours_count_wherever_they_are(stylometer: Stylometer) -> None:
    picture = Sample.describe("held_out", 0).render()
    assert stylometer.style_of(picture[::-1, ::-1]) == stylometer.style_of(picture)


def test_another_style_s_colours_change_the_answer(stylometer: Stylometer) -> None:
    one, other = (Sample.describe("held_out", 2 * style).render() for style in (0, 4))
    assert stylometer.style_of(one) != stylometer.style_of(other)
