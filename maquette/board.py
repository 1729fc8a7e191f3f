"""A board: sketch, edges, style and render side by side, as an architect would pin them up."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from pipeline.images import decode, encode_png

PANEL = 320
MARGIN = 16
ACROSS = 4
"""Panels in a row."""
CAPTION = 34
INK, PAPER = "#22252a", "#faf9f6"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Panel:
    """An encoded picture and what stands under it."""

    image: bytes
    caption: str


def make_board(panels: Sequence[Panel], footer: str = "") -> bytes:
    """`panels` in rows, each fitted into a square, and `footer` below them, as a PNG."""
    columns, rows = min(len(panels), ACROSS), -(-len(panels) // ACROSS)
    width, row = MARGIN + columns * (PANEL + MARGIN), PANEL + CAPTION + MARGIN
    height = rows * row + MARGIN
    board = Image.new("RGB", (width, height + (CAPTION if footer else 0)), PAPER)
    pen = ImageDraw.Draw(board)
    font = ImageFont.load_default(size=16)
    for index, panel in enumerate(panels):
        left = MARGIN + index % ACROSS * (PANEL + MARGIN)
        top = MARGIN + index // ACROSS * row
        # Decoded as the service does it, so that the board shows what it saw.
        fitted = ImageOps.pad(decode(panel.image, panel.caption), (PANEL, PANEL), color=PAPER)
        board.paste(fitted, (left, top))
        pen.rectangle((left, top, left + PANEL - 1, top + PANEL - 1), outline="#d0cec8")
        below = left + PANEL / 2, top + PANEL + CAPTION / 2 + 4
        pen.text(below, _cut(panel.caption, font), INK, font, anchor="mm")
    if footer:
        small = ImageFont.load_default(size=13)
        pen.text((width / 2, height), footer, INK, small, anchor="mm")
    return encode_png(np.asarray(board))


def _cut(caption: str, font: Font) -> str:
    """`caption`, or as much of it as a panel is wide."""
    if font.getlength(caption) <= PANEL:
        return caption
    shorter = itertools.accumulate(caption)
    return [text for text in shorter if font.getlength(f"{text}…") <= PANEL][-1] + "…"
