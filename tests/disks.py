"""Disks that are full."""

from __future__ import annotations

BLOCK = 4096


def fill(disk, left=0):
    """Leave `left` bytes on `disk`; returns the file that takes the rest."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(BLOCK)):
                pass
        except OSError:
            file.truncate(max(file.tell() - left, 0))
    return filler
