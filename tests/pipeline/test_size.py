from __future__ import annotations

import pytest

from pipeline.errors import InvalidRequest
from pipeline.size import render_size


@pytest.mark.parametrize(
    ("sketch", "expected"),
    [
        ((512, 512), (256, 256)),
        ((300, 290), (256, 256)),
        ((1200, 800), (320, 192)),
        ((800, 1200), (192, 320)),
        ((2048, 16), (512, 128)),
    ],
)
def test_the_render_follows_the_sketch(sketch, expected):
    assert render_size(sketch, None, None, native=256) == expected


def test_one_side_alone_keeps_the_aspect_ratio():
    assert render_size((600, 300), 512, None, native=256) == (512, 256)
    assert render_size((600, 300), None, 128, native=256) == (256, 128)
    assert render_size((512, 512), 512, None, native=256) == (512, 512)


def test_both_sides_are_taken_as_they_are():
    assert render_size((512, 512), 192, 320, native=256) == (192, 320)


def test_sizes_stay_in_range_for_every_pack():
    assert render_size((100, 100), None, None, native=2048) == (1024, 1024)
    assert render_size((100, 100), None, None, native=64) == (128, 128)


def test_more_than_the_pack_is_meant_for_is_refused():
    assert render_size((512, 512), 512, 512, native=256) == (512, 512)
    with pytest.raises(InvalidRequest, match="^width is 1024 .*at most 262,144 pixels.*256 x 256"):
        render_size((512, 512), 1024, 512, native=256)
