"""PNG files as the chunks that they are made of; no pixel is unpacked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = len(SIGNATURE) + 25
"""Where the first chunk, IHDR, ends: 13 bytes of data, and 12 around them."""
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
"""Chunks that the pixels are made of."""
_MANY = 64
"""Chunks; programs cut 8 KB of packed pixels or more into each."""


class Damaged(ValueError):
    """A PNG is cut short or was changed."""


def chunk(kind: bytes, data: bytes) -> bytes:
    """The chunk `kind`, of four letters, that holds `data`."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk of a PNG, from the first to ``IEND``.

    Raises:
        Damaged: one is cut short, or its checksum is wrong.
    """
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", png[at : at + 8].ljust(8, b"\0"))
        end = at + 12 + length
        checksum = struct.pack(">I", zlib.crc32(png[at + 4 : end - 4]))
        if end > len(png) or png[end - 4 : end] != checksum:
            raise Damaged("it is cut short or was changed")
        yield kind, png[at + 8 : end - 4]
        at = end


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG of ours, in pixels."""
    width, height = struct.unpack(">II", png[len(SIGNATURE) + 8 :][:8])
    return width, height


def is_bare(picture: bytes) -> bool:
    """Whether `picture` is a whole PNG that holds pixels and nothing else.

    Found out soon, whatever it is: one that is cut into many chunks counts as none.
    """
    if not picture.startswith(SIGNATURE):
        return False
    kinds: list[bytes] = []
    size = len(SIGNATURE)
    try:
        for kind, data in chunks(picture):
            if kind not in _PIXELS or len(kinds) >= _MANY:
                return False
            kinds.append(kind)
            size += len(data) + 12
    except Damaged:
        return False
    return kinds[0] == b"IHDR" and b"IDAT" in kinds and size == len(picture)
