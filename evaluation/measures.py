"""The measures: what is rendered for each, and what they must reach."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from evaluation.cases import NEUTRAL_PROMPT, Ask, Case, cases
from evaluation.painters import Painter
from evaluation.stylometry import Stylometer
from pipeline import control, fidelity, images
from pipeline.request import DEFAULTS
from training.phrases import PHRASES
from training.samples import SIDE, Bytes, Sample
from training.styles import STYLES

Report = Callable[[int], None]

PICTURES = 120
"""Held-out style pictures that image retrieval is asked for."""
CHANCE = 1 / len(STYLES)


@dataclass(frozen=True)
class Bar:
    """What a measure must reach, as a share of another one or plainly."""

    measure: str
    allowed: str
    value: float
    of: str | None = None

    def limit(self, found: dict[str, Any]) -> float:
        """The figure to compare with."""
        if self.of is None:
            return self.value
        whole = float(found[self.of])
        return whole * self.value if self.allowed == ">=" else whole - self.value

    def holds(self, found: dict[str, Any]) -> bool:
        """Whether the figures in `found` reach it."""
        compare = operator.ge if self.allowed == ">=" else operator.le
        return bool(compare(found[self.measure], self.limit(found)))


BARS = (
    Bar("structure_f1", ">=", 0.85),
    Bar("structure_f1", ">=", 0.95, of="structure_f1_vae"),
    Bar("structure_f1_no_control", "<=", 0.35, of="structure_f1"),
    Bar("style_accuracy", ">=", 0.90),
    Bar("style_accuracy_no_ip", "<=", 2 * CHANCE),
    Bar("reference_wins", ">=", 0.80),
    Bar("text_top1", ">=", 0.95),
    Bar("text_top3", ">=", 0.99),
    Bar("image_top1", ">=", 0.98),
)
"""A bar ``<=`` of another measure says by how much to lie below it."""


@dataclass(frozen=True)
class Painted:
    """A case and the render that was made of it."""

    case: Case
    ask: Ask
    picture: Bytes
    seconds: float

    @property
    def structure_f1(self) -> float:
        """How well it keeps its sketch's edges."""
        return structure_f1(self.ask.sketch, self.picture)


def structure_f1(sketch: bytes, picture: Bytes) -> float:
    """``pipeline.fidelity`` of `picture` against an encoded sketch, at the default thresholds."""
    low, high = DEFAULTS["canny_low_threshold"], DEFAULTS["canny_high_threshold"]
    drawing = images.decode(sketch, "sketch")
    edges = control.canny(drawing, SIDE, SIDE, low, high)[0]
    return fidelity.structure_f1(edges, picture, low, high)


def paint(painter: Painter, case: Case, ask: Ask) -> Painted:
    """One render of `case`."""
    begun = time.perf_counter()
    png = painter.paint(ask)
    return Painted(case, ask, picture_of(png), time.perf_counter() - begun)


def picture_of(encoded: bytes) -> Bytes:
    """An encoded picture as ``[SIDE, SIDE, 3]``."""
    size = (SIDE, SIDE)
    return np.asarray(images.decode(encoded, "image").resize(size, Image.Resampling.LANCZOS))


class Evaluation:
    """Asks a painter for held-out renders and scores what comes back.

    Args:
        report: told how many more renders are done.
    """

    def __init__(self, painter: Painter, report: Report) -> None:
        self.painter, self.report = painter, report
        self.stylometer = Stylometer.bundled()

    def paint_all(self, asked: Iterable[tuple[Case, Ask]]) -> list[Painted]:
        """The renders, in order."""
        made = []
        for case, ask in asked:
            made.append(paint(self.painter, case, ask))
            self.report(1)
        return made

    def default(self, count: int) -> list[Painted]:
        """Renders as a user would ask for them."""
        return self.paint_all((case, case.ask()) for case in cases(count))

    def no_control(self, count: int) -> list[Painted]:
        """The same with ControlNet switched off."""
        return self._changed(count, lambda _case: {"controlnet_conditioning_scale": 0.0})

    def no_ip(self, count: int) -> list[Painted]:
        """The same with IP-Adapter switched off and a prompt that names no style."""
        return self._changed(
            count, lambda _case: {"ip_adapter_scale": 0.0, "prompt": NEUTRAL_PROMPT}
        )

    def contradicted(self, count: int) -> list[Painted]:
        """The same with a prompt that asks for another style than the reference's."""
        return self._changed(
            count, lambda case: {"ip_adapter_scale": 0.8, "prompt": case.contradiction()}
        )

    def _changed(self, count: int, change: Callable[[Case], dict[str, Any]]) -> list[Painted]:
        return self.paint_all((c, replace(c.ask(), **change(c))) for c in cases(count))

    def style_accuracy(self, made: Iterable[Painted]) -> float:
        """The share of renders that wear the style of their reference."""
        return mean(self.stylometer.style_of(one.picture) == one.case.style for one in made)

    def through_vae(self, count: int) -> list[Bytes]:
        """The true renders after the VAE alone."""
        return [self.painter.through_vae(case.truth()) for case in cases(count)]

    def text_retrieval(self) -> dict[str, float]:
        """Held-out phrases against the bundled styles."""
        asked = [(name, phrase) for name in _names() for phrase in PHRASES[name].held_out]
        found = [(name, self.painter.styles_for_text(phrase)) for name, phrase in asked]
        return {
            "text_top1": mean(name == styles[0] for name, styles in found),
            "text_top3": mean(name in styles[:3] for name, styles in found),
            "phrases": len(asked),
        }

    def image_retrieval(self, count: int = PICTURES) -> dict[str, float]:
        """Held-out style pictures against the bundled ones."""
        worn = [Sample.describe("held_out", 1 + 2 * index) for index in range(count)]
        right = (
            self.painter.styles_for_picture(images.encode_png(one.render()))[0]
            == STYLES[one.style].name
            for one in worn
        )
        return {"image_top1": mean(right), "pictures": count}


def f1(made: Iterable[Painted]) -> float:
    """The renders' mean structure F1."""
    return mean(one.structure_f1 for one in made)


def vae_f1(evaluation: Evaluation, count: int) -> float:
    """The mean structure F1 of the true renders after the VAE alone."""
    best = evaluation.through_vae(count)
    return mean(
        structure_f1(case.ask().sketch, picture)
        for case, picture in zip(cases(count), best, strict=True)
    )


def per_style(evaluation: Evaluation, made: Iterable[Painted]) -> dict[str, dict[str, float]]:
    """Structure F1 and style accuracy of each style's renders."""
    made = list(made)
    rows = {}
    for name in _names():
        its = [one for one in made if one.case.style == name]
        if its:
            rows[name] = {"structure_f1": f1(its), "style_accuracy": evaluation.style_accuracy(its)}
    return rows


def mean(values: Iterable[float]) -> float:
    """To four digits."""
    return round(float(np.mean([float(value) for value in values])), 4)


def _names() -> list[str]:
    return [style.name for style in STYLES]
