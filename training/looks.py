"""A style is a distribution: each sample wears it in slightly other colours, lines and light."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace

import numpy as np
from PIL import ImageColor

from training.styles import Style

HUE_TURN = 0.022
"""Largest turn of the hue circle, in turns."""


@dataclass(frozen=True)
class Look:
    """One occurrence of a style: how far it strays from the style's own values."""

    hue: float
    saturation: float
    brightness: float
    line: float
    texture: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Look:
        """A look at random; the spreads keep every style apart from the others."""
        return cls(
            hue=random.uniform(-HUE_TURN, HUE_TURN),
            saturation=random.uniform(0.85, 1.12),
            brightness=random.uniform(0.92, 1.07),
            line=random.uniform(0.8, 1.35),
            texture=random.uniform(0.6, 1.3),
        )

    def worn_by(self, style: Style) -> Style:
        """`style` with this look's colours, line width and texture."""
        return replace(
            style,
            palette={part: self._shift(colour) for part, colour in style.palette.items()},
            line=self._shift(style.line),
            line_width=style.line_width * self.line,
            texture_strength=style.texture_strength * self.texture,
            sky_top=self._shift(style.sky_top),
        )

    def _shift(self, colour: str) -> str:
        red, green, blue = (channel / 255 for channel in ImageColor.getrgb(colour)[:3])
        hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
        shifted = colorsys.hsv_to_rgb(
            (hue + self.hue) % 1,
            min(saturation * self.saturation, 1),
            min(value * self.brightness, 1),
        )
        return "#" + "".join(f"{round(channel * 255):02x}" for channel in shifted)
