from __future__ import annotations

import numpy as np

from pipeline.style import blend


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
