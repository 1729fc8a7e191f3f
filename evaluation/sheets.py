"""Contact sheets: what was asked for and what was painted, side by side, to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.measures import Painted, picture_of
from maquette.board import INK, PAPER
from training.samples import SIDE, Bytes

GAP, LABEL = 8, 26


def write_style_sheet(made: Sequence[Painted], path: Path) -> None:
    """Sketch, style and render of each style's first render."""
    first: dict[str, Painted] = {}
    for one in made:
        first.setdefault(one.case.style, one)
    rows = [
        (name, [picture_of(one.ask.sketch), picture_of(one.ask.style_image), one.picture])
        for name, one in first.items()
    ]
    write_sheet(rows, path, columns=2)


def write_sheet(rows: Sequence[tuple[str, list[Bytes]]], path: Path, columns: int) -> None:
    """Labelled rows of pictures, `columns` rows beside each other."""
    across = max(len(pictures) for _, pictures in rows)
    wide, high = across * SIDE + 2 * GAP, SIDE + LABEL + GAP
    lines = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * wide, lines * high + GAP), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for index, (label, pictures) in enumerate(rows):
        left, top = index % columns * wide + GAP, index // columns * high + GAP
        strip = Image.fromarray(np.concatenate(pictures, axis=1))
        pen.text((left, top + LABEL / 2 - 2), label, INK, font, anchor="lm")
        sheet.paste(strip, (left, top + LABEL))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
