"""Procedural buildings: one description from which a sketch and any style's picture are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

Part = Literal[
    "sky", "sun", "hill", "ground", "path", "wall", "side", "roof", "trim", "window", "door",
    "trunk", "leaves",
]  # fmt: skip
Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """A filled outline of one building part. Coordinates are in the unit square, y down."""

    part: Part
    outline: tuple[Point, ...]


@dataclass(frozen=True)
class Scene:
    """Shapes from back to front."""

    shapes: tuple[Shape, ...]


@dataclass
class _Builder:
    random: np.random.Generator
    shapes: list[Shape] = field(default_factory=list)

    def add(self, part: Part, *outline: Point) -> None:
        self.shapes.append(Shape(part, outline))

    def box(self, part: Part, left: float, top: float, right: float, bottom: float) -> None:
        self.add(part, (left, top), (right, top), (right, bottom), (left, bottom))

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return bool(self.random.random() < probability)


def make_scene(seed: int) -> Scene:
    """The building of `seed`; the same seed always gives the same building."""
    build = _Builder(np.random.default_rng(seed))
    horizon = build.between(0.74, 0.82)
    _background(build, horizon)
    left, right = build.between(0.16, 0.28), build.between(0.68, 0.84)
    top = build.between(0.26, 0.40)
    if build.chance(0.6):
        _annex(build, left, right, top, horizon)
    build.box("wall", left, top, right, horizon)
    _roof(build, left, right, top)
    _facade(build, left, right, top, horizon)
    _path(build, (left + right) / 2, horizon)
    _trees(build, left, right, horizon)
    return Scene(tuple(build.shapes))


def _background(build: _Builder, horizon: float) -> None:
    build.box("sky", 0, 0, 1, horizon)
    radius = build.between(0.035, 0.06)
    build.add("sun", *_ellipse(build.between(0.08, 0.92), build.between(0.08, 0.16), radius))
    if build.chance(0.7):
        peak = build.between(0.2, 0.8)
        ridge = [(0.0, horizon), (0.0, horizon - 0.08), (peak, horizon - build.between(0.14, 0.24))]
        build.add("hill", *ridge, (1.0, horizon - 0.06), (1.0, horizon))
    build.box("ground", 0, horizon, 1, 1)


def _annex(build: _Builder, left: float, right: float, top: float, base: float) -> None:
    height = top + (base - top) * build.between(0.35, 0.55)
    width = build.between(0.12, 0.2)
    start, end = (right, right + width) if build.chance(0.5) else (left - width, left)
    start, end = max(start, 0.02), min(end, 0.98)
    build.box("side", start, height, end, base)
    build.box("trim", start, height - 0.02, end, height)
    middle, half = (start + end) / 2, (end - start) * 0.28
    build.box("window", middle - half, height + 0.07, middle + half, base - 0.12)


def _roof(build: _Builder, left: float, right: float, top: float) -> None:
    over = 0.025
    rise = build.between(0.10, 0.19)
    match build.random.choice(["gable", "hip", "flat", "shed"]):
        case "gable":
            middle = (left + right) / 2
            build.add("roof", (left - over, top), (middle, top - rise), (right + over, top))
        case "hip":
            inset = (right - left) * 0.22
            peak = top - rise
            build.add(
                "roof",
                (left - over, top),
                (left + inset, peak),
                (right - inset, peak),
                (right + over, top),
            )
        case "flat":
            build.box("roof", left - over, top - 0.035, right + over, top)
            tower = left + (right - left) * build.between(0.15, 0.6)
            build.box("trim", tower, top - 0.10, tower + 0.14, top - 0.035)
        case _:
            build.add("roof", (left - over, top), (right + over, top - rise), (right + over, top))


def _facade(build: _Builder, left: float, right: float, top: float, base: float) -> None:
    floors, bays = int(build.random.integers(2, 5)), int(build.random.integers(2, 5))
    arched = build.chance(0.35)
    storey, bay = (base - top) / floors, (right - left) / bays
    door_bay = int(build.random.integers(0, bays))
    fill = build.between(0.42, 0.62)
    if build.chance(0.5):
        line = base - storey
        build.box("trim", left, line - 0.009, right, line + 0.009)
    for floor in range(floors):
        for index in range(bays):
            middle = left + (index + 0.5) * bay
            half = bay * fill / 2
            upper = top + floor * storey + storey * 0.22
            lower = top + (floor + 1) * storey - storey * 0.2
            if floor == floors - 1 and index == door_bay:
                build.box("door", middle - half * 0.85, upper, middle + half * 0.85, base)
            elif arched:
                build.add("window", *_arch(middle, half, upper, lower))
            else:
                build.box("window", middle - half, upper, middle + half, lower)


def _path(build: _Builder, middle: float, base: float) -> None:
    spread = build.between(0.1, 0.2)
    near = middle + build.between(-0.1, 0.1)
    build.add(
        "path", (middle - 0.04, base), (middle + 0.04, base), (near + spread, 1), (near - spread, 1)
    )


def _trees(build: _Builder, left: float, right: float, base: float) -> None:
    for side in (left, 1 - right):
        if side < 0.14 or build.chance(0.25):
            continue
        middle = side * build.between(0.35, 0.55)
        middle = middle if side == left else 1 - middle
        foot, height = base + build.between(0.02, 0.07), build.between(0.26, 0.42)
        width = min(side * 0.42, 0.1)
        build.box("trunk", middle - 0.012, foot - height * 0.4, middle + 0.012, foot)
        if build.chance(0.5):
            crown = _ellipse(middle, foot - height * 0.65, width, height * 0.36)
        else:
            crown = (
                (middle - width, foot - height * 0.28),
                (middle, foot - height),
                (middle + width, foot - height * 0.28),
            )
        build.add("leaves", *crown)


def _ellipse(x: float, y: float, radius: float, tall: float | None = None) -> tuple[Point, ...]:
    tall = radius if tall is None else tall
    angles = [2 * math.pi * step / 40 for step in range(40)]
    return tuple((x + radius * math.cos(a), y + tall * math.sin(a)) for a in angles)


def _arch(middle: float, half: float, top: float, bottom: float) -> tuple[Point, ...]:
    spring = min(top + half, (top + bottom) / 2)
    angles = [math.pi * step / 12 for step in range(13)]
    crown = [(middle - half * math.cos(a), spring - (spring - top) * math.sin(a)) for a in angles]
    return (*crown, (middle + half, bottom), (middle - half, bottom))


def wobble(scene: Scene, amount: float, random: np.random.Generator) -> Scene:
    """`scene` drawn by an unsteady hand: points stray smoothly by up to about `amount`.

    Neighbouring points stray together, so shapes that touch still touch.
    """
    phases = random.uniform(0, 2 * math.pi, (2, 3))
    waves = random.uniform(15, 45, (2, 3)) * random.choice([-1, 1], (2, 3))

    def stray(point: Point) -> Point:
        x, y = point
        shifts = np.sin(phases + waves * np.array([x, y, x + y])).mean(axis=1) * amount
        return x + float(shifts[0]), y + float(shifts[1])

    return Scene(
        tuple(
            Shape(shape.part, tuple(stray(point) for point in _subdivide(shape.outline)))
            for shape in scene.shapes
        )
    )


def _subdivide(outline: tuple[Point, ...], longest: float = 0.03) -> list[Point]:
    """The same closed outline with a point at least every `longest`."""
    points = []
    for (x, y), (to_x, to_y) in zip(outline, (*outline[1:], outline[0]), strict=True):
        pieces = max(1, math.ceil(math.hypot(to_x - x, to_y - y) / longest))
        points += [
            (x + (to_x - x) * piece / pieces, y + (to_y - y) * piece / pieces)
            for piece in range(pieces)
        ]
    return points
