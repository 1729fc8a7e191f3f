"""Encoded images to arrays and back, with the decoder guarded before it decodes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from pipeline import jpeg, png
from pipeline.errors import InvalidRequest, Words

MAX_BYTES = 10 * 1024 * 1024
MAX_PIXELS = {"PNG": 25_000_000, "WEBP": 25_000_000, "JPEG": 50_000_000}
"""Of a picture as it is sent, by its format. A sheet of A3 at 300 dpi has 17,401,480, a phone's
photo up to 49,939,200. 34 bytes of WebP may be as many as there may be, and decoding them takes two
seconds and half a gigabyte; a JPEG is scaled down while it is decoded."""
FORMATS = tuple(MAX_PIXELS)
MAX_PIXEL_SCANS = 10 * MAX_PIXELS["JPEG"]
"""Pixels times scans of a JPEG: each scan may touch every pixel again, and takes a dozen bytes.
Encoders write one scan, or ten in a progressive file."""
MAX_SIDE = 2048
"""Of a picture as it is used; a larger one is scaled down."""
MIN_SIDE = 16
PICTURE = (
    f"PNG, JPEG or WebP; at most {MAX_BYTES:,} bytes and {MAX_PIXELS['PNG']:,} pixels (JPEG: "
    f"{MAX_PIXELS['JPEG']:,}). More than {MAX_SIDE} a side are scaled down."
)
"""Which pictures are taken, in words."""
FAINT = 32
"""Levels of 255. Nearer than this to the paper, ink leaves no edge at the default thresholds: a
step of 32 makes a Sobel gradient of 128, and an edge begins at 150."""

Picture = npt.NDArray[np.uint8]
"""RGB, ``[height, width, 3]``, values 0 to 255."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""

OPAQUE = 255
_TRANSPARENT = "transparent"


@dataclass(frozen=True)
class Decoded:
    """A picture as it is used, and what its sender ought to know of that."""

    png: bytes
    """RGB, upright, at most ``MAX_SIDE`` pixels a side."""
    warnings: tuple[str, ...] = ()
    transparent: bool = False
    """Whether a part of what was sent is transparent."""


def decode(data: bytes, field: str) -> Image.Image:
    """Decode a PNG, JPEG or WebP to RGB: upright, without transparency, scaled to ``MAX_SIDE``.

    Format, declared size and scans are checked before any pixel is decoded. Metadata is left out
    before the decoder sees it, except what tells the orientation.

    Args:
        data: the encoded file.
        field: the request field the bytes came from; error messages name it.

    Raises:
        InvalidRequest: not an image, not an allowed format, too large, or damaged.
    """
    return _decoded(data, field)[0]


def to_png(data: bytes, field: str) -> Decoded:
    """As :func:`decode` of a caller's file, encoded as PNG, which may have more bytes than that.

    Raises:
        InvalidRequest: as :func:`decode`; also more than ``MAX_BYTES``.
    """
    if len(data) > MAX_BYTES:
        allowed = f"at most {MAX_BYTES:,} bytes"
        raise InvalidRequest(field, data, allowed, "Save the image smaller.")
    image, sent = _decoded(data, field)
    warnings: tuple[str, ...] = ()
    if max(sent) > MAX_SIDE:
        warnings = (
            f"{field} of {sent[0] * sent[1]:,} pixels was scaled down to {_words(image.size)}: "
            f"more than {MAX_SIDE} a side are not used.",
        )
    return Decoded(encode_png(np.asarray(image)), warnings, is_transparent(image))


def is_transparent(image: Image.Image) -> bool:
    """Whether :func:`decode` laid a part of `image` over paper."""
    return bool(image.info.get(_TRANSPARENT))


def _decoded(data: bytes, field: str) -> tuple[Image.Image, tuple[int, int]]:
    """The picture as it is used, and the size that was sent."""
    image, scans = _open(data, field)
    sent = image.size
    _check_size(image, field)
    _check_scans(sent, scans, field)
    try:
        return _as_used(image, is_mask=field == "mask"), sent
    except Exception as error:
        # Files that are made to be wrong make Pillow fail in more ways than it documents.
        raise _damaged(data, field, error) from error


def _as_used(image: Image.Image, *, is_mask: bool) -> Image.Image:
    is_large = max(image.size) > MAX_SIDE
    if is_large:
        # A JPEG's decoder can leave out what would be scaled away.
        image.draft(None, (MAX_SIDE, MAX_SIDE))
    image.load()
    turn = _turn(image)
    plain = _in_plain_mode(image)
    if is_large:
        plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    picture = _as_mask(plain) if is_mask else _on_paper(plain)
    return picture if turn is None else picture.transpose(turn)


def _damaged(data: bytes, field: str, error: Exception) -> InvalidRequest:
    # Others than these speak of the decoder's inside.
    told = f" ({error})" if isinstance(error, OSError | SyntaxError | ValueError) else ""
    allowed = "a complete PNG, JPEG or WebP file"
    remedy = f"The file is damaged or cut short{told}. Save it again."
    return InvalidRequest(field, data, allowed, remedy)


def _open(data: bytes, field: str) -> tuple[Image.Image, int]:
    """The picture, not decoded yet, and a JPEG's number of scans."""
    if not data:
        raise InvalidRequest(field, data, "a PNG, JPEG or WebP file", "Send the file's bytes.")
    scans = 0
    try:
        if data.startswith(png.SIGNATURE):
            data = png.without_metadata(data)
        elif data.startswith(jpeg.START):
            data, scans = jpeg.without_metadata(data)
        return Image.open(io.BytesIO(data), formats=FORMATS), scans
    except (png.Damaged, jpeg.TooManySegments) as error:
        raise _damaged(data, field, error) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\((\d+) pixels\)", str(error))
        found = f"{int(count[1]):,} pixels" if count else "more pixels than can be counted"
        raise _too_large(field, found, min(MAX_PIXELS.values())) from error
    except Exception as error:
        allowed = "a PNG, JPEG or WebP file"
        remedy = "It could not be read as one; convert it (SVG, PDF and TIFF are not read)."
        raise InvalidRequest(field, data, allowed, remedy) from error


def _check_size(image: Image.Image, field: str) -> None:
    # A stereo photo may call itself another format than JPEG.
    size, most = image.size, MAX_PIXELS.get(str(image.format), MAX_PIXELS["JPEG"])
    if size[0] * size[1] > most:
        raise _too_large(field, f"{_words(size)} pixels", most)
    if min(size) * MAX_SIDE < MIN_SIDE * max(MAX_SIDE, *size):
        allowed = f"at least {MIN_SIDE} pixels a side, when the longer one has {MAX_SIDE} at most"
        remedy = "Scale it up, or crop it less."
        raise InvalidRequest(field, Words(f"{_words(size)} pixels"), allowed, remedy)


def _check_scans(size: tuple[int, int], scans: int, field: str) -> None:
    most = MAX_PIXEL_SCANS // (size[0] * size[1])
    if scans > most:
        found = Words(f"a JPEG of {_words(size)} pixels in {scans:,} scans")
        allowed = f"at most {most:,} scans at this size"
        raise InvalidRequest(field, found, allowed, "Save it again.")


def _too_large(field: str, found: str, most: int) -> InvalidRequest:
    allowed = f"at most {most:,} pixels in all"
    return InvalidRequest(field, Words(found), allowed, "Scale it down.")


def _words(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - metadata that cannot be read says nothing
        return None


def _in_plain_mode(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where a part of it is transparent."""
    if image.mode in ("I;16", "I"):
        # Pillow clips 16-bit grey at 255 instead of scaling it, which would turn ink into paper.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _as_mask(image: Image.Image) -> Image.Image:
    """What is transparent is white, as OpenAI's masks have it; without that, `image` itself."""
    if image.mode == "RGB":
        return image
    alpha = image.getchannel("A")
    # A browser's canvas writes an alpha channel, whether or not anything is transparent.
    if alpha.getextrema()[0] == OPAQUE:
        return image.convert("RGB")
    return alpha.point(lambda opacity: 255 - opacity).convert("RGB")


def _on_paper(image: Image.Image) -> Image.Image:
    """Lay `image` over white paper, or over black where nothing of it could be seen on white."""
    if image.mode == "RGB":
        return image
    laid = _over(image, "white")
    if _contrast(laid) < FAINT < _contrast(on_black := _over(image, "black")):
        laid = on_black
    laid.info[_TRANSPARENT] = np.asarray(image)[..., 3].min() < OPAQUE
    return laid


def _over(image: Image.Image, paper: str) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", image.size, paper), image).convert("RGB")


def _contrast(image: Image.Image) -> int:
    return int(np.ptp(np.asarray(image), axis=(0, 1)).max())


def encode_png(picture: Picture) -> bytes:
    """`picture` (``[height, width]`` grey or ``[height, width, 3]`` RGB, uint8) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


def scaled(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """`picture` at the size of a render, where its edges are traced."""
    return picture.resize(size, Image.Resampling.LANCZOS)


def thumbnail(picture: bytes, longest_side: int) -> bytes:
    """A PNG of the file `picture`, scaled down so that its longer side has `longest_side` pixels.

    Raises:
        InvalidRequest: as :func:`decode`.
    """
    image = decode(picture, "picture")
    image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    return encode_png(np.asarray(image))


def to_pixels(picture: Picture) -> npt.NDArray[np.float32]:
    """A picture ``[height, width, 3]`` as the VAE takes it: ``[3, height, width]`` in [-1, 1].

    Source: ``VaeImageProcessor.preprocess`` in diffusers.
    """
    return np.ascontiguousarray((picture.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1))


def from_pixels(pixels: npt.NDArray[np.float32]) -> Picture:
    """The VAE's ``[3, height, width]`` in [-1, 1] as a picture.

    Source: ``VaeImageProcessor.postprocess`` in diffusers.
    """
    unit = np.clip(pixels / 2 + 0.5, 0, 1)
    return (unit.transpose(1, 2, 0) * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class ClipPreprocessing:
    """How a CLIP vision tower wants its pictures, from the pack's ``preprocessor_config.json``."""

    shortest_edge: int
    crop: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ClipPreprocessing:
        """Read a transformers ``CLIPImageProcessor`` config."""
        mean, std = config["image_mean"], config["image_std"]
        return cls(
            shortest_edge=int(config["size"]["shortest_edge"]),
            crop=int(config["crop_size"]["height"]),
            mean=(mean[0], mean[1], mean[2]),
            std=(std[0], std[1], std[2]),
        )


def clip_pixel_values(
    image: Image.Image, preprocessing: ClipPreprocessing
) -> npt.NDArray[np.float32]:
    """`image` as a CLIP vision tower's input, ``[3, crop, crop]``.

    Source: ``CLIPImageProcessor`` in transformers (bicubic resize, centre crop, normalise).
    """
    short = min(image.size)
    edge, crop = preprocessing.shortest_edge, preprocessing.crop
    width, height = (edge if side == short else int(edge * side / short) for side in image.size)
    left, top = (width - crop) // 2, (height - crop) // 2
    resized = image.resize((width, height), Image.Resampling.BICUBIC)
    cropped = np.asarray(resized.crop((left, top, left + crop, top + crop)), dtype=np.float32)
    mean, std = (np.array(row, np.float32) for row in (preprocessing.mean, preprocessing.std))
    return np.ascontiguousarray(((cropped / 255 - mean) / std).transpose(2, 0, 1))
