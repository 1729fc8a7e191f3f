"""JPEG files as the segments that they are made of; no pixel is unpacked."""

from __future__ import annotations

import re

START = b"\xff\xd8"
MAX_SEGMENTS = 10_000
"""Of a file; a progressive one has some thirty."""
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
"""A segment's beginning. In pixels a byte 255 is followed by a zero or by a restart marker."""
_ALONE = {0x01, 0xD8}
"""Markers without a segment."""
_END, _SCAN = 0xD9, 0xDA
_METADATA = {*range(0xE2, 0xEE), 0xEF, 0xFE}
"""Profiles, further pictures (MPF), comments. JFIF (E0) and Adobe (EE) tell how colours are stored,
EXIF and XMP (E1) the orientation."""


class TooManySegments(ValueError):
    """A JPEG is cut into more pieces than any program makes."""


def without_metadata(jpeg: bytes) -> tuple[bytes, int]:
    """`jpeg` with what its pixels and their orientation are made of, and its number of scans.

    What comes behind the picture, as the second one of a stereo camera, is left out as well. What
    is damaged is left to the decoder; every scan that it may find there is counted.

    Raises:
        TooManySegments: there are more than ``MAX_SEGMENTS``.
    """
    kept: list[bytes] = []
    begin, at, scans = 0, len(START), 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(jpeg, at)
        if found is None:
            break
        marker, at = found[1][0], found.end()
        if marker == _END:
            return b"".join([*kept, jpeg[begin:at]]), scans
        if marker in _ALONE:
            continue
        length = int.from_bytes(jpeg[at : at + 2])
        if length < 2 or at + length > len(jpeg):
            scans += jpeg.count(bytes([0xFF, _SCAN]), at - 2)
            break
        at += length
        if marker == _SCAN:
            scans += 1
        elif marker in _METADATA and not scans:
            kept.append(jpeg[begin : found.start()])
            begin = at
    else:
        raise TooManySegments(f"it has more than {MAX_SEGMENTS:,} segments")
    return b"".join([*kept, jpeg[begin:]]), scans
