"""Which style a picture wears, by a measure that was not trained.

The picture's colours and the steepness of its gradients are compared with a few true renders of
every style; the nearest style wins. Where things are in the picture plays no part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from training.draw import draw_styled
from training.scenes import make_scene
from training.styles import STYLES

Features = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]

LAB_BINS = (6, 9, 9)
REFERENCES = 8
"""True renders of each style to compare with."""
REFERENCE_SEED = 500
"""Below 1,000: neither trained on nor rendered in an evaluation."""
GRADIENT_WEIGHT = 0.5
NEAREST = 3
SHOWN = 3
"""Of the nearest styles those that a blend shows."""


def features(picture: Picture) -> Features:
    """How a picture is coloured and textured, as one vector.

    Colours: the square root of a soft Lab histogram, so that distances between two pictures are
    Hellinger's. Texture: the logarithm of the mean gradient of lightness at three scales.
    """
    unit = picture.astype(np.float32) / 255
    lab = np.asarray(cv2.cvtColor(unit, cv2.COLOR_RGB2LAB), np.float32)
    return np.concatenate([_colours(lab), GRADIENT_WEIGHT * _gradients(lab[..., 0])])


def _colours(lab: npt.NDArray[np.float32]) -> Features:
    ranges = ((0, 100), (-90, 90), (-90, 90))
    counts, _ = np.histogramdd(lab.reshape(-1, 3), bins=LAB_BINS, range=ranges)
    for axis in range(3):
        counts = np.apply_along_axis(_blur, axis, counts)
    return np.sqrt(counts / counts.sum()).astype(np.float32).reshape(-1)


def _blur(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A little of each bin into its neighbours, so that a colour at a bin's border is not lost."""
    return np.convolve(np.pad(counts, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")


def _gradients(lightness: npt.NDArray[np.float32]) -> Features:
    levels = []
    for _ in range(3):
        across, down = np.diff(lightness, axis=1), np.diff(lightness, axis=0)
        levels.append((np.abs(across).mean() + np.abs(down).mean()) / 2)
        lightness = np.asarray(cv2.resize(lightness, None, fx=0.5, fy=0.5), np.float32)
    return np.log1p(np.array(levels, np.float32)) / 3


@dataclass(frozen=True)
class Stylometer:
    """The references, ready to compare with."""

    references: Mapping[str, Features]
    """``[REFERENCES, length]`` for each style."""

    @classmethod
    def of(cls, pictures: Mapping[str, Sequence[Picture]]) -> Stylometer:
        """From some pictures of every style."""
        return cls(
            {name: np.stack([features(one) for one in some]) for name, some in pictures.items()}
        )

    @classmethod
    @cache
    def bundled(cls) -> Stylometer:
        """From true renders of the bundled styles in their plain look."""
        return cls.of(
            {
                style.name: [
                    np.asarray(draw_styled(make_scene(seed), style, seed))
                    for seed in range(REFERENCE_SEED, REFERENCE_SEED + REFERENCES)
                ]
                for style in STYLES
            }
        )

    def distances(self, picture: Picture) -> dict[str, float]:
        """The mean distance to the nearest few references of each style."""
        found = features(picture)
        return {
            name: float(np.sort(np.linalg.norm(rows - found, axis=1))[:NEAREST].mean())
            for name, rows in self.references.items()
        }

    def nearest(self, picture: Picture) -> list[str]:
        """The styles, the one whose references are nearest first."""
        distances = self.distances(picture)
        return sorted(distances, key=distances.__getitem__)

    def style_of(self, picture: Picture) -> str:
        """The style whose references are nearest."""
        return self.nearest(picture)[0]

    def alike(self, one: str, other: str) -> bool:
        """Whether true renders of one of them have the other among their nearest three styles."""
        return other in self._neighbours(one) or one in self._neighbours(other)

    def _neighbours(self, style: str) -> list[str]:
        """The two nearest to `style`, which is the third."""
        own = self.references[style].mean(axis=0)
        apart = {
            name: float(np.linalg.norm(rows.mean(axis=0) - own))
            for name, rows in self.references.items()
        }
        return sorted(apart, key=apart.__getitem__)[1:SHOWN]
