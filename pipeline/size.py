"""The size of a render."""

from __future__ import annotations

from pipeline.errors import InvalidRequest, Words
from pipeline.request import RANGES, SIZE_STEP

LARGEST_FACTOR = 2
"""A render may have this many times the pack's native side in each direction, in pixel count.
Attention's memory grows with the square of the pixel count, and pictures fall apart far above the
size that the networks were trained at."""


def render_size(
    sketch: tuple[int, int], width: int | None, height: int | None, native: int
) -> tuple[int, int]:
    """Width and height for a sketch of ``(width, height)`` pixels.

    What the caller leaves open follows the sketch's aspect ratio, as nearly as the allowed sizes
    do; with both open, at about the `native` x `native` pixel count of the pack.

    Raises:
        InvalidRequest: more pixels than the pack's networks are meant for.
    """
    ratio = sketch[0] / sketch[1]
    if width is None and height is None:
        stretch = min(max(ratio**0.5, 0.5), 2.0)
        width, height = _snap("width", native * stretch), _snap("height", native / stretch)
    width = width or _snap("width", (height or native) * ratio)
    height = height or _snap("height", width / ratio)
    most = (LARGEST_FACTOR * native) ** 2
    if width * height > most:
        raise InvalidRequest(
            "width",
            Words(f"{width} (x height {height} = {width * height:,} pixels)"),
            f"at most {most:,} pixels with this pack",
            f"Try {native} x {native}.",
        )
    return width, height


def _snap(side: str, wanted: float) -> int:
    allowed = RANGES[side]
    inside = min(max(wanted, allowed.low), allowed.high)
    return round(inside / SIZE_STEP) * SIZE_STEP
