"""The measures: what is rendered for each, and how it is scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evaluation.cases import OTHER_STYLE, Ask, Case, cases
from evaluation.painters import Finder, Painter
from evaluation.stylometry import SHOWN, Stylometer
from pipeline import control, fidelity, images
from pipeline.images import Picture
from pipeline.request import DEFAULTS, PROFILES
from training.phrases import PHRASES
from training.samples import SIDE, Sample
from training.styles import STYLES

STYLE_PICTURES = 120
"""Held-out style pictures that image retrieval is asked for."""


@dataclass(frozen=True)
class Painted:
    """A case and a render that was made of it."""

    case: Case
    ask: Ask
    picture: Picture
    seconds: float

    @cached_property
    def structure_f1(self) -> float:
        """How well it keeps its sketch's edges."""
        return structure_f1(self.ask.sketch, self.picture)


def structure_f1(sketch: bytes, picture: Picture) -> float:
    """``pipeline.fidelity`` of `picture` against an encoded sketch, at the default thresholds."""
    low, high = DEFAULTS["canny_low_threshold"], DEFAULTS["canny_high_threshold"]
    drawing = images.decode(sketch, "sketch")
    edges = control.canny(drawing, SIDE, SIDE, low, high)[0]
    return fidelity.structure_f1(edges, picture, low, high)


def _distance(one: Painted, other: Painted) -> float:
    return float(np.abs(np.subtract(one.picture, other.picture, dtype=np.float32)).mean())


class Evaluation:
    """Asks a painter for renders and scores what comes back.

    Args:
        advance: called after each render.
    """

    def __init__(self, painter: Painter, advance: Callable[[], None]) -> None:
        self.painter, self.advance = painter, advance
        self.stylometer = Stylometer.bundled()

    def paint(self, asked: Sequence[Case], what: Callable[[Case], Ask]) -> list[Painted]:
        """One render of each case, asked for in the words of `what`, such as ``Case.neutral``."""
        return [self._paint(case, what(case)) for case in asked]

    def _paint(self, case: Case, ask: Ask) -> Painted:
        begun = time.perf_counter()
        encoded = self.painter.paint(ask)
        seconds = time.perf_counter() - begun
        self.advance()
        return Painted(case, ask, decoded(encoded), seconds)

    def style_accuracy(self, made: Iterable[Painted]) -> float:
        """The share of renders that wear the style of their reference."""
        return mean(self.stylometer.style_of(one.picture) == one.case.style for one in made)

    def similarities(self, made: Sequence[Painted]) -> dict[str, float]:
        """The renders' mean ``clip_score`` and ``style_score``, as an answer has them."""
        embed_picture, embed_text = self.painter.embed_picture, self.painter.embed_text
        vectors = [embed_picture(images.encode_png(one.picture)) for one in made]
        pairs = [*zip(vectors, (one.ask for one in made), strict=True)]
        return {
            "clip_score": mean(vector @ embed_text(ask.prompt) for vector, ask in pairs),
            "style_score": mean(
                vector @ embed_picture(ask.style_images[0]) for vector, ask in pairs
            ),
        }

    def profiles(self, asked: Sequence[Case]) -> dict[str, dict[str, float]]:
        """What each profile makes of the same cases.

        Its ``distance`` is the mean absolute difference to ``quality``, in steps of 255.
        """
        made = {
            name: [self._paint(case, replace(case.ask(), profile=name)) for case in asked]
            for name in PROFILES
        }
        return {
            name: {
                "structure_f1": mean_f1(its),
                "style_accuracy": self.style_accuracy(its),
                "seconds_per_render": round(float(np.median([one.seconds for one in its])), 3),
                "distance": mean(map(_distance, its, made["quality"])),
            }
            for name, its in made.items()
        }

    def blends(self, asked: Sequence[Case]) -> float:
        """The share of blends at 0.5 that have both styles among the nearest three.

        Each case is blended with another of a style that is not alike.
        """
        made = []
        for case in asked:
            later = (asked[(case.index + OTHER_STYLE + n) % len(asked)] for n in range(len(asked)))
            other = next(one for one in later if not self.stylometer.alike(case.style, one.style))
            painted = self._paint(case, case.blended(other))
            nearest = self.stylometer.nearest(painted.picture)[:SHOWN]
            made.append({case.style, other.style} <= {*nearest})
        return mean(made)

    def vae_f1(self, asked: Sequence[Case]) -> float:
        """The mean structure F1 of the true renders after the VAE alone."""
        return mean(
            structure_f1(case.ask().sketch, self.painter.through_vae(case.truth()))
            for case in asked
        )


def text_retrieval(finder: Finder) -> dict[str, float]:
    """Shares of held-out phrases whose style is found among the bundled ones."""
    asked = [(one.name, phrase) for one in STYLES for phrase in PHRASES[one.name].held_out]
    found = [(name, finder.styles_for_text(phrase)) for name, phrase in asked]
    return {
        "text_top1": mean(name == styles[0] for name, styles in found),
        "text_top3": mean(name in styles[:3] for name, styles in found),
        "phrases": len(asked),
    }


def image_retrieval(finder: Finder, count: int = STYLE_PICTURES) -> dict[str, float]:
    """The share of `count` held-out style pictures whose style is found among the bundled ones."""
    worn = [case.partner for case in cases(count)]
    return {"image_top1": mean(_finds(finder, one) for one in worn), "style_pictures": count}


def _finds(finder: Finder, sample: Sample) -> bool:
    nearest = finder.styles_for_picture(images.encode_png(sample.render()))[0]
    return nearest == STYLES[sample.style].name


def decoded(encoded: bytes) -> Picture:
    """An encoded render as ``[SIDE, SIDE, 3]``.

    Raises:
        ValueError: it has another size, so its score would be of something else.
    """
    picture = np.asarray(images.decode(encoded, "render"))
    if picture.shape != (SIDE, SIDE, 3):
        raise ValueError(f"a render of {SIDE} x {SIDE} was asked for; it is {picture.shape}")
    return picture


def mean_f1(made: Iterable[Painted]) -> float:
    """The renders' mean structure F1."""
    return mean(one.structure_f1 for one in made)


def mean(values: Iterable[float]) -> float:
    """To four digits."""
    return round(float(np.mean([float(value) for value in values])), 4)
