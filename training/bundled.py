"""The pictures that ship: one of every style, and a few sketches to begin with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline import images
from training.draw import draw_sketch, draw_styled
from training.scenes import make_scene
from training.styles import STYLES

STYLE_SEED = 20
EXAMPLE_SEEDS = {"town-house": 1, "villa": 2, "offices": 8}


def style_pictures() -> list[Image.Image]:
    """Every style in its plain look, in the order of ``STYLES``."""
    return [
        draw_styled(make_scene(STYLE_SEED + index), style, seed=index)
        for index, style in enumerate(STYLES)
    ]


def style_pngs() -> list[bytes]:
    """The same, encoded."""
    return [images.encode_png(np.asarray(picture)) for picture in style_pictures()]


def write_styles(folder: Path) -> int:
    """Write the style pictures, and styles.json with their names and tags; say how many."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {}
    for style, picture in zip(STYLES, style_pictures(), strict=True):
        file = f"{style.name.replace(' ', '-')}.png"
        picture.save(folder / file, optimize=True)
        entries[file] = {"name": style.name, "tags": list(style.tags)}
    (folder / "styles.json").write_text(json.dumps(entries, indent=2) + "\n")
    return len(entries)


def write_sketches(folder: Path) -> int:
    """Write the example sketches; say how many."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in EXAMPLE_SEEDS.items():
        draw_sketch(make_scene(seed)).save(folder / f"{name}.png", optimize=True)
    return len(EXAMPLE_SEEDS)
