"""Encoded images to arrays and back, with the decoder guarded before it decodes."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from pipeline.errors import InvalidRequest, Words

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES = 10 * 1024 * 1024
MAX_SIDE = 2048
MIN_SIDE = 16

Picture = npt.NDArray[np.uint8]
"""RGB, ``[height, width, 3]``, values 0 to 255."""


def decode(data: bytes, field: str) -> Image.Image:
    """Decode a PNG, JPEG or WebP to RGB, upright, transparency laid over white paper.

    Format, byte count and declared size are checked from the header, before any pixel is decoded.

    Args:
        data: the encoded file.
        field: the request field the bytes came from; error messages name it.

    Raises:
        InvalidRequest: not an image, not an allowed format, too large, or damaged.
    """
    image = _loaded(data, field)
    try:
        return _on_white(ImageOps.exif_transpose(image))
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(data, field, error) from error


def require_picture(data: bytes, field: str) -> None:
    """Find out whether `data` can be decoded, without making a picture of it.

    Raises:
        InvalidRequest: as :func:`decode`.
    """
    _loaded(data, field)


def require_whole(data: bytes, field: str) -> None:
    """As :func:`require_picture`, but a PNG's pixels are left packed: its checksums tell enough.

    A PNG that was made to deceive can pass; decoding it fails as it should.

    Raises:
        InvalidRequest: as :func:`decode`.
    """
    image = _open(data, field)
    if image.format != "PNG":
        require_picture(data, field)
        return
    try:
        image.verify()
    except IndexError as error:
        # Pillow looks for the first piece of the pixels.
        raise _damaged(data, field, ValueError("it has no pixels")) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(data, field, error) from error


def _loaded(data: bytes, field: str) -> Image.Image:
    image = _open(data, field)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise _damaged(data, field, error) from error
    return image


def _damaged(data: bytes, field: str, error: Exception) -> InvalidRequest:
    allowed = "a complete PNG, JPEG or WebP file"
    remedy = f"The file is damaged or cut short ({error}). Save it again."
    return InvalidRequest(field, data, allowed, remedy)


def _open(data: bytes, field: str) -> Image.Image:
    if not data:
        raise InvalidRequest(field, data, "a PNG, JPEG or WebP file", "Send the file's bytes.")
    if len(data) > MAX_BYTES:
        allowed = f"at most {MAX_BYTES:,} bytes"
        raise InvalidRequest(field, data, allowed, "Save the image smaller.")
    image = _read_header(data, field)
    _check_size(image, field)
    return image


def _read_header(data: bytes, field: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\((\d+) pixels\)", str(error))
        found = f"{int(count[1]):,} pixels" if count else "more pixels than can be counted"
        raise _too_large(field, found) from error
    except (OSError, SyntaxError, ValueError) as error:
        allowed = "a PNG, JPEG or WebP file"
        remedy = "It could not be read as one; convert it (SVG, PDF and TIFF are not read)."
        raise InvalidRequest(field, data, allowed, remedy) from error


def _check_size(image: Image.Image, field: str) -> None:
    if max(image.size) > MAX_SIDE:
        raise _too_large(field, f"{image.width} x {image.height} pixels")
    if min(image.size) < MIN_SIDE:
        found = Words(f"{image.width} x {image.height} pixels")
        allowed = f"at least {MIN_SIDE} pixels a side"
        raise InvalidRequest(field, found, allowed, "Scale it up, or crop it less.")


def _too_large(field: str, found: str) -> InvalidRequest:
    allowed = f"at most {MAX_SIDE} pixels a side"
    return InvalidRequest(field, Words(found), allowed, "Scale it down.")


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode in ("I;16", "I"):
        # Pillow clips 16-bit grey at 255 instead of scaling it, which would turn ink into paper.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(paper, rgba).convert("RGB")
    return image.convert("RGB")


def encode_png(picture: Picture) -> bytes:
    """`picture` (``[height, width]`` grey or ``[height, width, 3]`` RGB, uint8) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", compress_level=4)
    return buffer.getvalue()


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
