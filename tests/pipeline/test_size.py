from __future__ import annotations

import pytest

from pipeline.errors import InvalidRequest
from pipeline.size import render_size


@pytest.mark.parametrize(
    ("sketch", "expected"),
    [
        ((512, 512), (256, 256)),
        ((300, 290), (256, 256)),
        ((700, 500), (256, 192)),
        ((1200, 800), (384, 256)),
        ((800, 1200), (256, 384)),
        ((2000, 1000), (384, 192)),
    ],
)
def test_the_render_follows_the_sketch(sketch, expected):
    assert render_size(sketch, None, None, native=256) == expected


@pytest.mark.parametrize("native", [256, 512])
def test_no_usual_sketch_is_stretched_by_more_than_an_eighth(native):
    for hundredths in range(40, 251, 5):
        width, height = render_size((10 * hundredths, 1000), None, None, native)
        assert 8 / 9 < width / height / (hundredths / 100) < 9 / 8
        assert 0.5 < width * height / native**2 < 2.1


def test_a_strip_is_refused_until_a_size_is_named():
    with pytest.raises(InvalidRequest, match="^sketch is 2048 x 16 pixels; .*at most 4 to 1"):
        render_size((2048, 16), None, None, native=256)
    assert render_size((2048, 16), 512, 128, native=256) == (512, 128)


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
    with pytest.raises(InvalidRequest, match="^width is 1024 .*at most 262,144 pixels.*512 x 512"):
        render_size((512, 512), 1024, 512, native=256)
