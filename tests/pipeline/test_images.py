from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil

from pipeline import images, png
from pipeline.errors import InvalidRequest
from tests.pictures import encoded, png_declaring


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_allowed_formats_are_decoded_to_rgb(kind):
    image = images.decode(encoded(Image.new("RGB", (40, 30), "red"), kind), "sketch")
    assert (image.mode, image.size) == ("RGB", (40, 30))
    red, green, blue = image.getpixel((20, 15))
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "Send the file's bytes"),
        (b"not an image", "could not be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "SVG"),
        (encoded(Image.new("RGB", (40, 40)), "BMP"), "could not be read"),
        (encoded(Image.new("RGB", (40, 40)), "GIF"), "could not be read"),
        (encoded(Image.effect_noise((300, 300), 50))[:4000], "cut short"),
        (png_declaring(30_000, 30_000), "900,000,000 pixels; .*2048 pixels"),
        (png_declaring(12_000, 12_000), "2048 pixels"),
        (png_declaring(2049, 16), "2048 pixels"),
        (encoded(Image.new("RGB", (8, 40))), "at least 16 pixels"),
        (b"\x89PNG" + bytes(images.MAX_BYTES), "at most 10,485,760 bytes"),
    ],
    ids=["empty", "text", "svg", "bmp", "gif", "cut", "30000", "12000", "2049", "thin", "heavy"],
)
def test_what_is_not_an_acceptable_image_is_refused(data, words):
    with pytest.raises(InvalidRequest, match=f"^sketch is .*{words}"):
        images.decode(data, "sketch")


def test_transparency_is_laid_over_white_paper():
    ink = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    ink.putpixel((5, 5), (0, 0, 0, 255))
    decoded = images.decode(encoded(ink), "sketch")
    assert decoded.getpixel((0, 0)) == (255, 255, 255)
    assert decoded.getpixel((5, 5)) == (0, 0, 0)


def test_sixteen_bit_grey_keeps_its_shades():
    grey = Image.fromarray(np.full((32, 32), 0x8000, np.uint16))
    assert images.decode(encoded(grey), "sketch").getpixel((3, 3)) == (128, 128, 128)
    with_transparent_shade = encoded(grey, transparency=7)
    assert images.decode(with_transparent_shade, "sketch").getpixel((3, 3)) == (128, 128, 128)


def test_an_orientation_that_is_no_number_is_not_the_servers_failure():
    # TIFF directory with one entry: tag 0x0112, type ASCII, three bytes "up".
    entry = struct.pack("<HHI4s", 0x0112, 2, 3, b"up\0\0")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    data = encoded(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    assert images.decode(data, "sketch").size == (60, 40)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "RGBA"])
def test_every_common_mode_is_decoded(mode):
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new("RGB", (32, 32), "white").convert(mode)
    assert images.decode(encoded(image, kind), "sketch").getpixel((9, 9)) == (255, 255, 255)


def test_a_photo_taken_sideways_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(Image.new("RGB", (60, 40)), "JPEG", exif=exif)
    assert images.decode(data, "sketch").size == (40, 60)


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(images.decode(images.encode_png(picture), "x")), picture)


def test_pixels_become_bytes():
    pixels = np.array([-1.5, -1, 0, 1, 1.5], np.float32).reshape(1, 1, 5).repeat(3, axis=0)
    assert images.from_pixels(pixels)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_pixels_come_back_from_the_range_of_the_vae():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5
    pixels = images.to_pixels(picture)
    assert pixels.shape == (3, 4, 4)
    assert pixels[0, 0, 0] == -1
    assert np.array_equal(images.from_pixels(pixels), picture)


def test_clip_pixels_equal_transformers():
    source = Image.effect_noise((300, 211), 90).convert("RGB")
    config = {"size": {"shortest_edge": 128}, "crop_size": {"height": 128, "width": 128}}
    reference = CLIPImageProcessorPil(**config)
    expected = reference(source, return_tensors="np")["pixel_values"][0]
    preprocessing = images.ClipPreprocessing.from_config(reference.to_dict())
    found = images.clip_pixel_values(images.decode(encoded(source), "image"), preprocessing)
    assert found.shape == (3, 128, 128)
    np.testing.assert_allclose(found, expected, atol=1e-6)


NOISE = Image.effect_noise((64, 48), 50).convert("RGB")


@pytest.mark.parametrize("kind", images.FORMATS)
def test_a_whole_file_is_whole(kind):
    images.require_whole(encoded(NOISE, kind), "sketch")


@pytest.mark.parametrize("kind", images.FORMATS)
@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_file_that_is_cut_short_is_not_whole(kind, left):
    data = encoded(NOISE, kind)
    wrong = "sketch is .*(damaged or cut short|could not be read)"
    with pytest.raises(InvalidRequest, match=wrong):
        images.require_whole(data[: int(len(data) * left)], "sketch")


def test_a_png_without_pixels_is_not_whole():
    header, end = png.chunk(b"IHDR", bytes([0, 0, 0, 64, 0, 0, 0, 64, 8, 2, 0, 0, 0])), b"IEND"
    with pytest.raises(InvalidRequest, match="sketch is .* no pixels"):
        images.require_whole(png.SIGNATURE + header + png.chunk(end, b""), "sketch")


def test_one_changed_byte_of_a_png_is_seen():
    data = bytearray(encoded(NOISE))
    data[len(data) // 2] ^= 1
    with pytest.raises(InvalidRequest, match="damaged"):
        images.require_whole(bytes(data), "sketch")


def test_a_whole_file_that_is_no_picture_is_refused():
    with pytest.raises(InvalidRequest, match="a PNG, JPEG or WebP file"):
        images.require_whole(b"GIF89a" + bytes(100), "sketch")
