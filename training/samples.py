"""One training sample: a seed's scene, style and look, and the pictures drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.control import canny
from pipeline.request import DEFAULTS
from training.augmentations import UNSTEADY, by_another_hand
from training.draw import draw_sketch, draw_styled
from training.looks import Look
from training.scenes import Scene, make_scene, wobble
from training.styles import STYLES, Style

Bytes = npt.NDArray[np.uint8]

SIDE = 256
CLEAN_SHARE = 0.5
"""Sketches drawn as the generator draws them; the others are by another hand."""

Split = Literal["train", "development", "held_out"]

SEEDS: dict[Split, range] = {
    "train": range(1_000_000, 9_000_000),
    "development": range(9_000_000, 10_000_000),
    "held_out": range(10_000_000, 11_000_000),
}
"""A recipe is tried on `development`; `held_out` only measures what came of it.

Seeds below 1,000 belong to the bundled styles and example sketches, which are never trained on.
"""


def seed_of(split: Split, index: int) -> int:
    """The seed of a split's `index`-th sample.

    Raises:
        IndexError: the split has no such sample.
    """
    return SEEDS[split][index]


@dataclass(frozen=True)
class Sample:
    """What one index of a split stands for."""

    seed: int
    style: int
    scene: Scene
    worn: Style

    @classmethod
    def describe(cls, split: Split, index: int) -> Sample:
        """The `index`-th sample; neighbours ``2k`` and ``2k + 1`` wear the same look.

        So each of the two shows the other's style on another building: an image prompt for it.
        """
        seed, shared = seed_of(split, index), seed_of(split, index // 2 * 2)
        look = Look.draw(np.random.default_rng([shared, 1]))
        style = (index // 2) % len(STYLES)
        random = np.random.default_rng([seed, 2])
        scene = make_scene(seed)
        if random.random() > CLEAN_SHARE:
            scene = wobble(scene, random.uniform(0, UNSTEADY), random)
        return cls(seed, style, scene, look.worn_by(STYLES[style]))

    def render(self) -> Bytes:
        """The true render, ``[256, 256, 3]``."""
        return np.asarray(draw_styled(self.scene, self.worn, self.seed, SIDE))

    def edges(self) -> Bytes:
        """The sketch's edges ``[256, 256]``, 255 or 0, as a render would be asked to keep them."""
        random = np.random.default_rng([self.seed, 3])
        clean = random.random() < CLEAN_SHARE
        width = 5.0 if clean else random.uniform(3, 9)
        sketch = draw_sketch(self.scene, SIDE, width)
        if not clean:
            sketch = by_another_hand(sketch, random)
        low, high = DEFAULTS["canny_low_threshold"], DEFAULTS["canny_high_threshold"]
        return canny(sketch, SIDE, SIDE, low, high)[0]
