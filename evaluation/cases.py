"""The held-out renders that are asked for, and what is asked of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline import images
from training.draw import draw_sketch
from training.phrases import PHRASES
from training.samples import SIDE, Bytes, Sample
from training.styles import STYLES

NEUTRAL_PROMPT = "a building"
OTHER_STYLE = 5
"""How far in ``STYLES`` a contradicting prompt's style is from the reference's."""


@dataclass(frozen=True)
class Ask:
    """One render to make, in the words of a render request; None leaves a default."""

    sketch: bytes
    prompt: str
    style_image: bytes
    seed: int
    controlnet_conditioning_scale: float | None = None
    ip_adapter_scale: float | None = None


@dataclass(frozen=True)
class Case:
    """One held-out scene in a held-out look, and a style picture of another building in it."""

    index: int
    sample: Sample
    partner: Sample

    @classmethod
    def describe(cls, index: int) -> Case:
        """The `index`-th case; the styles come in turn."""
        sample, partner = (Sample.describe("held_out", 2 * index + i) for i in (0, 1))
        return cls(index, sample, partner)

    @property
    def style(self) -> str:
        """The name of the style that its reference wears."""
        return STYLES[self.sample.style].name

    def ask(self) -> Ask:
        """The render as a user would ask for it."""
        phrases = PHRASES[self.style].held_out
        return Ask(
            sketch=images.encode_png(np.asarray(draw_sketch(self.sample.scene, 2 * SIDE))),
            prompt=phrases[self.index // len(STYLES) % len(phrases)],
            style_image=images.encode_png(self.partner.render()),
            seed=self.index,
        )

    def contradiction(self) -> str:
        """A prompt that asks for another style than the reference's."""
        other = STYLES[(self.sample.style + OTHER_STYLE) % len(STYLES)].name
        phrases = PHRASES[other].held_out
        return phrases[self.index // len(STYLES) % len(phrases)]

    def truth(self) -> Bytes:
        """The render that the generator would draw."""
        return self.sample.render()


def cases(count: int) -> list[Case]:
    """The first `count` held-out cases."""
    return [Case.describe(index) for index in range(count)]
