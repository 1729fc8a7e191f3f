"""A board: sketch, edges, style and render side by side, as an architect would pin them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

from pipeline.images import decode

PANEL = 320
MARGIN = 16
CAPTION = 34
INK, PAPER = "#22252a", "#faf9f6"


@dataclass(frozen=True)
class Panel:
    """An encoded picture and what stands under it."""

    image: bytes
    caption: str


def make_board(panels: Sequence[Panel]) -> Image.Image:
    """`panels` in one row, each fitted into a square."""
    width = MARGIN + len(panels) * (PANEL + MARGIN)
    board = Image.new("RGB", (width, PANEL + CAPTION + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(board)
    font = ImageFont.load_default(size=16)
    for index, panel in enumerate(panels):
        left = MARGIN + index * (PANEL + MARGIN)
        # Decoded as the service does it, so that the board shows what it saw.
        fitted = ImageOps.pad(decode(panel.image, panel.caption), (PANEL, PANEL), color=PAPER)
        board.paste(fitted, (left, MARGIN))
        pen.rectangle((left, MARGIN, left + PANEL - 1, MARGIN + PANEL - 1), outline="#d0cec8")
        middle = left + PANEL / 2
        below = MARGIN + PANEL + CAPTION / 2 + 4
        pen.text((middle, below), panel.caption, INK, font, anchor="mm")
    return board
