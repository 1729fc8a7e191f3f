"""Sketches by another hand than the generator's, to see what becomes of drawings it never made.

Nothing here is shared with ``training``: each building is set down stroke by stroke, with a pen
that trembles, overshoots corners and goes over a line twice, on paper of its own. They are computed
all the same; no person held the pen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

SIDE = 512
SUPERSAMPLING = 2
Point = tuple[float, float]
Grey = npt.NDArray[np.float32]


@dataclass
class Pen:
    """Draws strokes whose ends are in the unit square, y down."""

    sheet: ImageDraw.ImageDraw
    random: np.random.Generator
    width: float
    """In pixels of a sheet of ``SIDE``."""
    tremble: float
    """How far a stroke strays, in sides of the sheet."""
    gaps: float = 0.0
    """The share of a stroke where the pen does not touch the paper."""

    def stroke(self, *through: Point) -> None:
        """One line through all points, a little off and a little too long."""
        path = self._path(np.array(through))
        steps = len(path)
        lifted = self.random.random(steps // 12 + 1) < self.gaps
        for index in range(steps - 1):
            if not lifted[index // 12]:
                self._mark(path[index], path[index + 1])

    def box(self, left: float, top: float, right: float, bottom: float) -> None:
        """Four strokes."""
        self.stroke((left, top), (right, top))
        self.stroke((right, top), (right, bottom))
        self.stroke((right, bottom), (left, bottom))
        self.stroke((left, bottom), (left, top))

    def round(self, x: float, y: float, across: float, down: float) -> None:
        """A loop that does not quite close."""
        angles = np.linspace(0.2, 2 * math.pi + 0.1, 24)
        self.stroke(*((x + across * math.cos(a), y + down * math.sin(a)) for a in angles))

    def _path(self, through: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        lengths = np.linalg.norm(np.diff(through, axis=0), axis=1)
        steps = max(4, int(lengths.sum() * 160))
        along = np.concatenate([[0], np.cumsum(lengths)])
        at = np.linspace(-0.004, lengths.sum() + 0.004, steps)
        path = np.stack([_extended(at, along, through[:, axis]) for axis in (0, 1)], axis=1)
        knots = self.random.normal(0, self.tremble, (max(3, steps // 14), 2)).astype(np.float32)
        wander = cv2.resize(knots, (2, steps), interpolation=cv2.INTER_CUBIC)
        return path + wander

    def _mark(self, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> None:
        scale = SIDE * SUPERSAMPLING
        pressure = 1 + 0.25 * float(self.random.normal())
        width = max(1, round(self.width * SUPERSAMPLING * min(1.4, max(0.7, pressure))))
        ends = [(float(x) * scale, float(y) * scale) for x, y in (start, end)]
        self.sheet.line(ends, fill=0, width=width)


def _extended(
    at: npt.NDArray[np.float64], along: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """`values` at the lengths `at`, going straight on beyond the ends."""
    inside = np.interp(at, along, values)
    before = (values[1] - values[0]) / (along[1] - along[0])
    after = (values[-1] - values[-2]) / (along[-1] - along[-2])
    inside += np.minimum(at, 0) * before + np.maximum(at - along[-1], 0) * after
    return np.asarray(inside)


def _gable(pen: Pen) -> None:
    pen.stroke((0, 0.8), (1, 0.79))
    pen.stroke((0.22, 0.8), (0.22, 0.45), (0.5, 0.16), (0.78, 0.45), (0.78, 0.8))
    pen.stroke((0.22, 0.45), (0.78, 0.45))
    pen.round(0.5, 0.33, 0.05, 0.05)
    for left in (0.28, 0.62):
        pen.box(left, 0.53, left + 0.1, 0.66)
        pen.stroke((left + 0.05, 0.53), (left + 0.05, 0.66))
    pen.box(0.45, 0.6, 0.55, 0.8)


def _tower(pen: Pen) -> None:
    pen.stroke((0, 0.9), (1, 0.9))
    pen.box(0.36, 0.08, 0.64, 0.9)
    for row in range(8):
        for column in range(3):
            left, top = 0.39 + 0.085 * column, 0.12 + 0.085 * row
            pen.box(left, top, left + 0.055, top + 0.05)
    pen.box(0.64, 0.6, 0.86, 0.9)
    pen.stroke((0.64, 0.7), (0.86, 0.7))
    pen.stroke((0.64, 0.8), (0.86, 0.8))


def _terrace(pen: Pen) -> None:
    pen.stroke((0, 0.82), (1, 0.82))
    for house in range(3):
        left = 0.08 + 0.28 * house
        top = 0.34 + 0.05 * (house % 2)
        pen.box(left, top, left + 0.28, 0.82)
        pen.stroke((left, top), (left + 0.14, top - 0.14), (left + 0.28, top))
        pen.box(left + 0.04, top + 0.06, left + 0.11, top + 0.18)
        pen.box(left + 0.17, top + 0.06, left + 0.24, top + 0.18)
        pen.box(left + 0.1, 0.66, left + 0.18, 0.82)


def _chapel(pen: Pen) -> None:
    pen.stroke((0, 0.84), (1, 0.82))
    pen.box(0.34, 0.46, 0.86, 0.83)
    pen.stroke((0.34, 0.46), (0.4, 0.28), (0.82, 0.28), (0.86, 0.46))
    pen.box(0.16, 0.3, 0.34, 0.83)
    pen.stroke((0.16, 0.3), (0.25, 0.06), (0.34, 0.3))
    for left in (0.42, 0.56, 0.7):
        pen.stroke((left, 0.72), (left, 0.56), (left + 0.04, 0.51), (left + 0.08, 0.56),
                   (left + 0.08, 0.72), (left, 0.72))  # fmt: skip
    pen.box(0.21, 0.66, 0.29, 0.83)


def _cantilever(pen: Pen) -> None:
    pen.stroke((0, 0.78), (1, 0.78))
    pen.box(0.1, 0.3, 0.8, 0.5)
    pen.box(0.36, 0.5, 0.92, 0.78)
    pen.stroke((0.1, 0.34), (0.8, 0.34))
    for left in (0.16, 0.32, 0.48, 0.64):
        pen.box(left, 0.38, left + 0.12, 0.48)
    pen.box(0.42, 0.56, 0.66, 0.78)
    pen.stroke((0.54, 0.56), (0.54, 0.78))
    pen.stroke((0.16, 0.5), (0.16, 0.78))


def _barn(pen: Pen) -> None:
    pen.stroke((0, 0.8), (0.5, 0.81), (1, 0.8))
    pen.stroke((0.18, 0.8), (0.18, 0.5), (0.28, 0.32), (0.5, 0.22), (0.72, 0.32), (0.82, 0.5),
               (0.82, 0.8))  # fmt: skip
    pen.box(0.38, 0.54, 0.62, 0.8)
    pen.stroke((0.38, 0.54), (0.62, 0.8))
    pen.stroke((0.62, 0.54), (0.38, 0.8))
    pen.box(0.45, 0.34, 0.55, 0.43)


def _shop(pen: Pen) -> None:
    pen.stroke((0, 0.86), (1, 0.86))
    pen.box(0.2, 0.14, 0.8, 0.86)
    pen.stroke((0.17, 0.14), (0.83, 0.14))
    pen.box(0.2, 0.54, 0.8, 0.6)
    for left in (0.27, 0.45, 0.63):
        pen.box(left, 0.24, left + 0.1, 0.44)
    pen.box(0.25, 0.65, 0.52, 0.82)
    pen.box(0.6, 0.64, 0.72, 0.86)


def _cottage(pen: Pen) -> None:
    pen.stroke((0, 0.78), (0.4, 0.79), (1, 0.76))
    pen.box(0.24, 0.5, 0.72, 0.78)
    pen.stroke((0.2, 0.51), (0.32, 0.28), (0.66, 0.28), (0.76, 0.51), (0.2, 0.51))
    pen.box(0.56, 0.17, 0.63, 0.28)
    pen.box(0.3, 0.57, 0.4, 0.67)
    pen.box(0.56, 0.57, 0.66, 0.67)
    pen.box(0.44, 0.6, 0.52, 0.78)
    pen.round(0.87, 0.5, 0.09, 0.13)
    pen.stroke((0.87, 0.63), (0.87, 0.77))


def _plain(grey: Grey, _random: np.random.Generator) -> Grey:
    return grey


def _lamp(grey: Grey, _random: np.random.Generator) -> Grey:
    """Lit from one corner."""
    light = np.linspace(0.68, 1.0, SIDE, dtype=np.float32)
    return grey * (light[None, :] * 0.5 + light[:, None] * 0.5)


def _recycled(grey: Grey, random: np.random.Generator) -> Grey:
    """Grey paper with a grain."""
    return grey * 0.82 + random.normal(0, 5, grey.shape).astype(np.float32)


def _faint(grey: Grey, _random: np.random.Generator) -> Grey:
    """A hard pencil."""
    return np.asarray(255 - (255 - grey) * 0.55, np.float32)


def _camera(grey: Grey, random: np.random.Generator) -> Grey:
    """Photographed: soft, noisy, darker at the edges."""
    at = np.linspace(-1, 1, SIDE, dtype=np.float32)
    vignette = 1 - 0.22 * (at[None, :] ** 2 + at[:, None] ** 2) / 2
    soft = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.8), np.float32)
    noisy = soft * vignette + random.normal(0, 4, grey.shape)
    return np.asarray(noisy, np.float32)


@dataclass(frozen=True)
class Sheet:
    """One drawing: what, with which pen, on which paper."""

    seed: int
    name: str
    building: Callable[[Pen], None]
    width: float
    tremble: float
    paper: Callable[[Grey, np.random.Generator], Grey]
    gaps: float = 0.0
    twice: bool = False

    def draw(self) -> Image.Image:
        """The sheet, ``SIDE`` pixels square."""
        canvas = Image.new("L", (SIDE * SUPERSAMPLING, SIDE * SUPERSAMPLING), 255)
        random = np.random.default_rng(self.seed)
        pen = Pen(ImageDraw.Draw(canvas), random, self.width, self.tremble, self.gaps)
        for _ in range(2 if self.twice else 1):
            self.building(pen)
        drawn = np.asarray(canvas.resize((SIDE, SIDE), Image.Resampling.LANCZOS), np.float32)
        worn = self.paper(drawn, random)
        return Image.fromarray(np.clip(worn, 0, 255).astype(np.uint8)).convert("RGB")


SHEETS = (
    Sheet(1, "gable, steady pen", _gable, 2.5, 0.0015, _plain),
    Sheet(2, "tower, thin pen", _tower, 1.6, 0.001, _plain),
    Sheet(3, "terrace, broken lines", _terrace, 2.5, 0.002, _plain, gaps=0.12),
    Sheet(4, "chapel, lamp from a side", _chapel, 2.5, 0.002, _lamp),
    Sheet(5, "cantilever, thick marker", _cantilever, 5.0, 0.002, _plain),
    Sheet(6, "barn, grey grained paper", _barn, 3.0, 0.002, _recycled),
    Sheet(7, "shop, hard pencil", _shop, 2.5, 0.0015, _faint),
    Sheet(8, "cottage, photographed", _cottage, 3.0, 0.003, _camera),
    Sheet(9, "gable, drawn twice", _gable, 2.0, 0.002, _plain, twice=True),
    Sheet(10, "shop, very unsteady", _shop, 2.5, 0.005, _plain),
)
