"""How long each stage trains: the one home of these numbers.

`cpu` is sized for two cores and an afternoon, `cuda` for one large GPU and a coffee.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One stage's length and pace."""

    steps: int
    batch: int
    learning_rate: float
    crop_share: float = 0.0
    """Of the steps, from the start, on quarter-size pieces; each costs what a whole one does."""
    guided_share: float = 0.0
    """Of the steps, at the end, under the guidance that is served."""


SAMPLES = {"cpu": 12_288, "cuda": 49_152}
"""Pictures to draw and train on."""

RECIPES: dict[str, dict[str, Recipe]] = {
    "cpu": {
        "vae": Recipe(7000, 4, 1e-3),
        "clip": Recipe(300, 96, 1e-3),
        "unet": Recipe(4000, 8, 7e-4, crop_share=0.5),
        "controlnet": Recipe(2500, 8, 7e-4, crop_share=0.5),
        "ip_adapter": Recipe(1500, 8, 7e-4, guided_share=0.3),
        "joint": Recipe(3300, 4, 2e-3, crop_share=0.75, guided_share=0.24),
        "lcm": Recipe(200, 8, 1e-3),
    },
    "cuda": {
        "vae": Recipe(10_000, 64, 1e-3),
        "clip": Recipe(2000, 384, 1e-3),
        "unet": Recipe(12_000, 96, 1e-3),
        "controlnet": Recipe(6000, 96, 7e-4),
        "ip_adapter": Recipe(5000, 96, 7e-4, guided_share=0.3),
        "joint": Recipe(12_000, 96, 1e-3, guided_share=0.2),
        "lcm": Recipe(3000, 64, 1e-3),
    },
}
