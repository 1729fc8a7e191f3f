"""PNG files as chunks."""

from __future__ import annotations

import pytest
from PIL import Image

from pipeline import png
from pipeline.png import HEADER_END, Damaged, chunk, chunks, is_bare
from tests.pictures import encoded

PICTURE = encoded(Image.new("RGB", (40, 30), "orange"))


def with_chunks(*added: bytes) -> bytes:
    return PICTURE[:HEADER_END] + b"".join(added) + PICTURE[HEADER_END:]


def test_a_picture_is_its_chunks():
    found = list(chunks(PICTURE))
    assert [kind for kind, _ in found] == [b"IHDR", b"IDAT", b"IEND"]
    assert png.SIGNATURE + b"".join(chunk(kind, data) for kind, data in found) == PICTURE


def test_the_header_tells_the_size():
    assert png.size_of(PICTURE) == (40, 30)


@pytest.mark.parametrize("picture", [PICTURE, encoded(Image.new("P", (9, 9)), transparency=0)])
def test_pixels_alone_are_bare(picture):
    assert is_bare(picture)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(with_chunks(chunk(b"tEXt", b"Title\0House")), id="a text"),
        pytest.param(with_chunks(chunk(b"iCCP", b"profile")), id="a profile"),
        pytest.param(PICTURE + b"more", id="something behind it"),
        pytest.param(PICTURE[:-1], id="cut short"),
        pytest.param(PICTURE.replace(b"IDAT", b"IDOT"), id="changed"),
        pytest.param(with_chunks(*[chunk(b"IDAT", b"")] * 64), id="in many chunks"),
        pytest.param(PICTURE[:HEADER_END] + chunk(b"IEND", b""), id="without pixels"),
        pytest.param(png.SIGNATURE + PICTURE[HEADER_END:], id="without a header"),
        pytest.param(encoded(Image.new("RGB", (40, 30)), "JPEG"), id="no PNG"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_whatever_else_is_in_it_is_not(picture):
    assert not is_bare(picture)


@pytest.mark.parametrize("end", [len(PICTURE) - 1, HEADER_END, HEADER_END + 5])
def test_what_is_cut_short_is_damaged(end):
    with pytest.raises(Damaged):
        list(chunks(PICTURE[:end]))
