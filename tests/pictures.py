"""Encoded pictures, good and bad, for tests of every layer."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def pixels(png: bytes) -> np.ndarray:
    """``[h, w, 3]``, 0 to 255."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


def difference(one: bytes, other: bytes) -> int:
    """The largest of any pixel of two PNGs."""
    return int(np.abs(pixels(one) - pixels(other)).max())


def size_of(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


def png_declaring(width: int, height: int) -> bytes:
    """A PNG whose header promises `width` x `height` and whose data is a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")
