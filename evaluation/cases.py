"""The held-out renders that are asked for, and what is asked of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pipeline import images
from pipeline.images import Picture
from pipeline.request import DEFAULTS
from training.draw import draw_sketch
from training.phrases import PHRASES
from training.samples import SIDE, Sample, Split
from training.styles import STYLES

NEUTRAL_PROMPT = "a building"
OTHER_STYLE = 5
"""How far in ``STYLES`` a contradicting prompt's style is from the reference's."""


@dataclass(frozen=True)
class Ask:
    """One render to make, in the words of a render request."""

    sketch: bytes
    prompt: str
    style_images: tuple[bytes, ...]
    """Blended in equal shares."""
    seed: int
    controlnet_conditioning_scale: float = DEFAULTS["controlnet_conditioning_scale"]
    ip_adapter_scale: float = DEFAULTS["ip_adapter_scale"][0]
    structure_min: float = DEFAULTS["structure_min"]
    profile: str = DEFAULTS["profile"]
    """One takes the place of the painter's own settings."""


@dataclass(frozen=True)
class Case:
    """A scene in a look that was not trained on, and another building in that look."""

    index: int
    sample: Sample
    partner: Sample

    @property
    def style(self) -> str:
        """The name of the style that its reference wears."""
        return STYLES[self.sample.style].name

    def ask(self) -> Ask:
        """The render as a user would ask for it: a clean sketch, a phrase, a style picture."""
        return self._ask

    def without_control(self) -> Ask:
        """The same with ControlNet switched off."""
        return replace(self.ask(), controlnet_conditioning_scale=0.0)

    def neutral(self) -> Ask:
        """The same with a prompt that names no style, so that only the reference can."""
        return replace(self.ask(), prompt=NEUTRAL_PROMPT)

    def without_style(self) -> Ask:
        """The neutral one with IP-Adapter switched off: nothing says which style is wanted."""
        return replace(self.neutral(), ip_adapter_scale=0.0)

    def contradicted(self) -> Ask:
        """The same with a prompt that asks for another style than the reference's."""
        other = STYLES[(self.sample.style + OTHER_STYLE) % len(STYLES)].name
        return replace(self.ask(), prompt=_phrase(other, self.index))

    def blended(self, other: Case) -> Ask:
        """The neutral one with the reference of `other` blended in at 0.5."""
        both = self.ask().style_images + other.ask().style_images
        return replace(self.neutral(), style_images=both)

    def truth(self) -> Picture:
        """The render that the generator would draw."""
        return self.sample.render()

    @cached_property
    def _ask(self) -> Ask:
        return Ask(
            sketch=images.encode_png(np.asarray(draw_sketch(self.sample.scene, 2 * SIDE))),
            prompt=_phrase(self.style, self.index),
            style_images=(images.encode_png(self.partner.render()),),
            seed=self.index,
        )


def cases(count: int, split: Split = "held_out") -> list[Case]:
    """The first `count` cases of a split; the styles come in turn."""
    pairs = (
        (Sample.describe(split, 2 * index), Sample.describe(split, 2 * index + 1))
        for index in range(count)
    )
    return [Case(index, sample, partner) for index, (sample, partner) in enumerate(pairs)]


def _phrase(style: str, index: int) -> str:
    phrases = PHRASES[style].held_out
    return phrases[index // len(STYLES) % len(phrases)]
