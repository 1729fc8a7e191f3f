"""Contact sheets: what was asked for and what was painted, side by side, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.measures import Painted
from maquette.board import INK, PAPER
from pipeline import images
from pipeline.images import Picture
from training.samples import SIDE
from training.styles import STYLES
from versions import durable

GAP, LABEL = 8, 26
BESIDE = 2
"""Renders of each style in its row."""


def write_style_sheet(made: Sequence[Painted], path: Path) -> None:
    """One row for each style: sketch, style and render of its first cases."""
    rows = []
    for style in STYLES:
        its = [one for one in made if one.case.style == style.name][:BESIDE]
        rows.append((f"{style.name}: sketch, style, render", [p for one in its for p in _row(one)]))
    write_sheet(rows, path, columns=1)


def _row(one: Painted) -> list[Picture]:
    return [panel(one.ask.sketch), panel(one.ask.style_images[0]), one.picture]


def panel(encoded: bytes) -> Picture:
    """An encoded picture as large as a render."""
    picture = images.decode(encoded, "panel")
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def empty_panel() -> Picture:
    """For a picture that there is not."""
    return np.full((SIDE, SIDE, 3), 255, np.uint8)


def write_sheet(rows: Sequence[tuple[str, list[Picture]]], path: Path, columns: int) -> None:
    """Labelled rows of pictures, `columns` rows beside each other."""
    across = max(len(pictures) for _, pictures in rows)
    wide, high = across * SIDE + 2 * GAP, SIDE + LABEL + GAP
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * wide, lines * high + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for index, (label, pictures) in enumerate(rows):
        left, top = index % columns * wide + GAP, index // columns * high + GAP
        pen.text((left, top + LABEL / 2 - 2), label, INK, font, anchor="lm")
        sheet.paste(Image.fromarray(np.concatenate(pictures, axis=1)), (left, top + LABEL))
    with durable.replacing(path) as file:
        sheet.save(file, "PNG", optimize=True)
