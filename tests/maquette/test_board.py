from __future__ import annotations

from PIL import Image

from maquette.board import MARGIN, PANEL, Panel, make_board
from tests.pictures import encoded


def test_panels_stand_side_by_side_in_order():
    panels = [Panel(encoded(Image.new("RGB", (90, 60), c)), c) for c in ("red", "blue")]
    board = make_board(panels)
    assert board.width == 2 * PANEL + 3 * MARGIN
    middle = MARGIN + PANEL // 2
    assert board.getpixel((middle, middle)) == (255, 0, 0)
    assert board.getpixel((middle + PANEL + MARGIN, middle)) == (0, 0, 255)
    bare = board.crop((MARGIN, MARGIN + PANEL + 1, MARGIN + PANEL, board.height))
    assert len(bare.getcolors(10_000)) > 1
