from __future__ import annotations

import io
import pickle
import struct
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageOps, PngImagePlugin
from transformers import CLIPImageProcessorPil

from pipeline import images, png
from pipeline.errors import InvalidRequest
from tests.pictures import encoded, png_declaring

NOISE = Image.effect_noise((64, 48), 50).convert("RGB")
CUT = encoded(Image.effect_noise((300, 300), 50))[:4000]
HEADER = bytes([0, 0, 0, 64, 0, 0, 0, 64, 8, 2, 0, 0, 0])


def turned_by(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def one_changed_byte(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


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
        (CUT, "cut short"),
        (png_declaring(30_000, 30_000), "900,000,000 pixels; .*25,000,000 pixels"),
        (png_declaring(12_000, 12_000), "(12000 x 12000|144,000,000) pixels; .*25,000,000 pixels"),
        (encoded(Image.new("RGB", (8, 40))), "at least 16 pixels"),
        (encoded(Image.new("RGB", (4000, 20))), "4000 x 20 pixels; .*at least 16 pixels"),
        (one_changed_byte(encoded(NOISE)), "damaged"),
        (png.SIGNATURE + png.chunk(b"IHDR", HEADER) + png.chunk(b"IEND", b""), "damaged"),
    ],
    ids=[
        "empty",
        "text",
        "svg",
        "bmp",
        "gif",
        "cut",
        "30000",
        "12000",
        "thin",
        "thin once scaled",
        "changed",
        "without pixels",
    ],
)
def test_what_is_not_an_acceptable_image_is_refused(data, words):
    with pytest.raises(InvalidRequest, match=f"^sketch is .*{words}"):
        images.decode(data, "sketch")


def test_a_file_may_have_so_many_bytes_and_what_is_made_of_it_more():
    """Noise has three bytes a pixel as PNG, and so may an enlarged picture."""
    heavy = encoded(Image.new("RGB", (2048, 2048), "red"), compress_level=0)
    with pytest.raises(InvalidRequest, match=r"^sketch is 12.* bytes; .*at most 10,485,760 bytes"):
        images.to_png(heavy, "sketch")
    assert images.decode(heavy, "sketch").size == (2048, 2048)


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
    data = encoded(Image.new("RGB", (60, 40)), "JPEG", exif=turned_by(6))
    assert images.decode(data, "sketch").size == (40, 60)


def test_png_is_lossless():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    assert np.array_equal(np.asarray(images.decode(images.encode_png(picture), "x")), picture)


def sketches():
    """Kinds of files whose decoding does more than reading pixels."""
    drawn = Image.effect_noise((70, 40), 80)
    translucent = drawn.convert("RGBA")
    translucent.putalpha(Image.linear_gradient("L").resize(drawn.size))
    deep = Image.fromarray(np.asarray(drawn).astype(np.uint16) * 257)
    return {
        "grey": encoded(drawn),
        "black and white": encoded(drawn.convert("1")),
        "palette": encoded(drawn.convert("RGB").quantize(7)),
        "transparent": encoded(translucent),
        "16 bits": encoded(deep),
        "turned": encoded(drawn.convert("RGB"), "JPEG", exif=turned_by(6)),
        "webp": encoded(translucent, "WEBP"),
    }


@pytest.mark.parametrize("kind", sketches())
def test_what_is_handed_on_has_the_pixels_of_what_was_sent(kind):
    sent = sketches()[kind]
    done = images.to_png(sent, "sketch")
    before, after = images.decode(sent, "sketch"), images.decode(done.png, "sketch")
    assert (after.size, after.tobytes()) == (before.size, before.tobytes())
    assert png.is_bare(done.png)
    assert done.warnings == ()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(kind, orientation):
    data = encoded(NOISE, kind, exif=turned_by(orientation))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert images.decode(data, "sketch").tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_value_that_cannot_be_written_again_does_not_matter(kind):
    # ImageWidth of -1, as a signed number, and Orientation 6.
    entries = [
        struct.pack("<HHI4s", 0x101, 9, 1, b"\xff" * 4),
        struct.pack("<HHII", 0x112, 3, 1, 6),
    ]
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + b"".join(entries) + bytes(4)
    data = encoded(Image.new("RGB", (60, 40)), kind, exif=exif)
    assert images.decode(data, "sketch").size == (40, 60)


def test_orientation_told_by_xmp_counts():
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<rdf:Description tiff:Orientation="6"/>')
    assert images.decode(encoded(NOISE, pnginfo=info), "sketch").size == NOISE.size[::-1]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_large_text_in_a_png_does_not_matter(zipped):
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "{}" * 2**20, zip=zipped)
    info.add_itxt("prompt", "x" * 2**21, zip=zipped)
    assert images.decode(encoded(NOISE, pnginfo=info), "sketch").tobytes() == NOISE.tobytes()


def test_a_png_in_ten_thousand_chunks_is_decoded_in_more_it_is_not():
    whole = encoded(NOISE)
    for count, refused in ((10_000, False), (png.MAX_CHUNKS, True)):
        data = whole[: png.HEADER_END] + png.chunk(b"teSt", b"") * count + whole[png.HEADER_END :]
        with pytest.raises(InvalidRequest, match="20,000 chunks") if refused else nullcontext():
            assert images.decode(data, "sketch").tobytes() == NOISE.tobytes()


@pytest.mark.parametrize(
    ("size", "scans", "words"),
    [((2048, 2048), 300, "2048 x 2048 pixels in 310 scans; allowed: at most 119 scans at this")],
)
def test_a_jpeg_of_many_scans_is_not_decoded(size, scans, words):
    progressive = encoded(Image.new("RGB", size), "JPEG", progressive=True)
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    with pytest.raises(InvalidRequest, match=f"^sketch is a JPEG of {words}"):
        images.decode(progressive[:-2] + last * scans + progressive[-2:], "sketch")
    assert images.decode(progressive, "sketch").size == size


@pytest.mark.parametrize(
    ("kind", "size", "pixels"),
    [
        ("JPEG", (3024, 4032), "12,192,768"),
        ("PNG", (1575, 2100), "3,307,500"),
        ("WEBP", (1575, 2100), "3,307,500"),
    ],
)
def test_a_large_photo_is_scaled_down_and_that_is_told(kind, size, pixels):
    photo = Image.linear_gradient("L").resize(size).convert("RGB")
    done = images.to_png(encoded(photo, kind, exif=turned_by(6)), "sketch")
    assert png.size_of(done.png) == (2048, 1536)
    assert done.warnings == (
        f"sketch of {pixels} pixels was scaled down to 2048 x 1536: more than 2048 a side are not "
        "used.",
    )
    # As it would look if the sender had scaled it.
    smaller = photo.transpose(Image.Transpose.ROTATE_270).resize((2048, 1536))
    difference = np.abs(np.asarray(smaller, int) - np.asarray(images.decode(done.png, "x"), int))
    assert difference.max() <= 3


@pytest.mark.parametrize(
    ("ink", "paper"), [("white", "black"), ("black", "white"), ("#ccc", "white"), ("#f00", "white")]
)
def test_transparent_paper_is_what_the_ink_can_be_seen_on(ink, paper):
    drawn = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    drawn.paste(ink, (20, 20, 40, 24))
    decoded = images.decode(encoded(drawn), "sketch")
    seen = [decoded.getpixel(at) for at in ((30, 22), (2, 2))]
    assert seen == [ImageColor.getrgb(ink), ImageColor.getrgb(paper)]


def test_a_mask_with_an_alpha_channel_in_which_nothing_is_transparent_is_told_by_its_white():
    mask = Image.new("RGBA", (32, 32), "black")
    mask.paste("white", (2, 2, 4, 4))
    decoded = images.decode(encoded(mask), "mask")
    assert [decoded.getpixel(at) for at in ((3, 3), (6, 6))] == [(255,) * 3, (0,) * 3]
    mask.putpixel((6, 6), (0, 0, 0, 0))
    decoded = images.decode(encoded(mask), "mask")
    assert [decoded.getpixel(at) for at in ((3, 3), (6, 6))] == [(0,) * 3, (255,) * 3]


def test_an_error_comes_back_from_another_process_without_the_file():
    with pytest.raises(InvalidRequest) as error:
        images.decode(CUT, "sketch")
    pickled = pickle.dumps(error.value)
    assert len(pickled) < 400
    again = pickle.loads(pickled)
    assert (type(again), str(again), again.field) == (InvalidRequest, str(error.value), "sketch")


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
