"""PNG files as the chunks that they are made of; no pixel is unpacked."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from operator import itemgetter

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = len(SIGNATURE) + 25
"""Where the first chunk, IHDR, ends: 13 bytes of data, and 12 around them."""
_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
"""Chunks that the pixels are made of."""
_MANY = 64
"""Chunks; programs cut 8 KB of packed pixels or more into each."""
_ORIENTATION = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""How a text begins that may tell the orientation; beside ``eXIf``, which does nothing else."""
_LONG = 2**16
"""Bytes of a text, more than tell an orientation."""
MAX_CHUNKS = 20_000
"""Of a file; the largest that is read, cut into 8 KB, has 1,280."""


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


def without_metadata(png: bytes) -> bytes:
    """`png` with what its pixels and their orientation are made of, the pixels in one chunk.

    Decoders unpack texts and profiles, and take their time with every chunk.

    Raises:
        Damaged: as :func:`chunks`, or it has more than ``MAX_CHUNKS``.
    """
    made_of = (each for each in _counted(chunks(png)) if _is_needed(*each))
    whole = [
        chunk(kind, b"".join(data for _, data in group)) if kind == b"IDAT" else _each(group)
        for kind, group in groupby(made_of, key=itemgetter(0))
    ]
    return SIGNATURE + b"".join(whole)


def _each(group: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(chunk(kind, data) for kind, data in group)


def _counted(found: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    yield from islice(found, MAX_CHUNKS)
    if next(found, None):
        raise Damaged(f"it has more than {MAX_CHUNKS:,} chunks")


def _is_needed(kind: bytes, data: bytes) -> bool:
    if kind in (b"iTXt", b"zTXt", b"tEXt"):
        return data.startswith(_ORIENTATION) and len(data) < _LONG
    return kind in _PIXELS or kind == b"eXIf"


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
