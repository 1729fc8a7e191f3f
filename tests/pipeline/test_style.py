from __future__ import annotations

import numpy as np
import pytest

from pipeline.style import TEMPERATURE, blend, weights_of


def test_one_reference_comes_back_unchanged():
    embeds = np.random.default_rng(0).standard_normal((1, 4, 8)).astype(np.float32)
    blended = blend(embeds, -embeds, np.array([1.0], np.float32))
    np.testing.assert_array_equal(blended, np.stack([-embeds[0], embeds[0]]))
    assert blended.dtype == np.float32


def test_weights_are_kept():
    embeds = np.stack([np.zeros((4, 8)), np.ones((4, 8))]).astype(np.float32)
    blended = blend(embeds, 2 * embeds, np.array([0.75, 0.25], np.float32))
    np.testing.assert_allclose(blended[1], 0.25)
    np.testing.assert_allclose(blended[0], 0.5)


def test_the_nearer_a_style_the_more_it_weighs():
    assert weights_of([0.3]) == (1.0,)
    assert weights_of([0.3, 0.3]) == (0.5, 0.5)
    first, second, third = weights_of([0.3, 0.3 - TEMPERATURE, 0.3 - 2 * TEMPERATURE])
    assert first / second == pytest.approx(np.e, rel=1e-3)
    assert second / third == pytest.approx(np.e, rel=1e-3)
    assert first + second + third == pytest.approx(1, abs=2e-4)
