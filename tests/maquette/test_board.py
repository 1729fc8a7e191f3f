from __future__ import annotations

import io

from PIL import Image

from maquette.board import MARGIN, PANEL, Panel, make_board
from tests.pictures import encoded


def test_panels_stand_side_by_side_in_order():
    panels = [Panel(encoded(Image.new("RGB", (90, 60), c)), c) for c in ("red", "blue")]
    board = Image.open(io.BytesIO(make_board(panels)))
    assert board.width == 2 * PANEL + 3 * MARGIN
    middle = MARGIN + PANEL // 2
    assert board.getpixel((middle, middle)) == (255, 0, 0)
    assert board.getpixel((middle + PANEL + MARGIN, middle)) == (0, 0, 255)
    bare = board.crop((MARGIN, MARGIN + PANEL + 1, MARGIN + PANEL, board.height))
    assert len(bare.getcolors(10_000)) > 1


def test_versions_stand_below_all_panels():
    panels = [Panel(encoded(Image.new("RGB", (32, 32), "red")), "sketch")]
    bare, told = (Image.open(io.BytesIO(make_board(panels, text))) for text in ("", "unet 3"))
    assert told.height > bare.height
    assert len(told.crop((0, bare.height - 12, told.width, told.height)).getcolors(10_000)) > 1


def test_a_caption_that_is_too_long_stays_under_its_panel():
    panels = [
        Panel(encoded(Image.new("RGB", (32, 32), "red")), caption) for caption in ("W" * 80, "")
    ]
    board = Image.open(io.BytesIO(make_board(panels)))
    caption = board.crop((0, MARGIN + PANEL + 1, board.width, board.height - 1))
    inked = caption.convert("L").point(lambda value: 255 * (value < 128)).getbbox()
    assert inked[0] >= MARGIN
    assert inked[2] <= MARGIN + PANEL
