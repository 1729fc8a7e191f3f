"""What is measured: anything that paints, and finds styles."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from evaluation.cases import Ask
from pipeline.images import Picture
from training.styles import STYLES


class Finder(Protocol):
    """A CLIP pair in use."""

    def styles_for_text(self, phrase: str) -> list[str]:
        """The names of the bundled styles, the nearest to `phrase` first."""

    def styles_for_picture(self, picture: bytes) -> list[str]:
        """The names of the bundled styles, the nearest to an encoded picture first."""

    def embed_text(self, text: str) -> npt.NDArray[Any]:
        """The vector ``[512]`` of `text`, of length 1."""

    def embed_picture(self, picture: bytes) -> npt.NDArray[Any]:
        """The vector ``[512]`` of an encoded picture, of length 1."""


def nearest_styles(library: npt.NDArray[Any], vector: npt.NDArray[Any]) -> list[str]:
    """The names of the bundled styles, whose vectors are `library`, the nearest first."""
    return [STYLES[index].name for index in np.argsort(-(library @ vector))]


class Painter(Finder, Protocol):
    """A pack in use, whether served or in torch."""

    def paint(self, ask: Ask) -> bytes:
        """The render, an encoded picture."""

    def through_vae(self, picture: Picture) -> Picture:
        """`picture` ``[height, width, 3]`` encoded and decoded: the best any denoiser could do."""
