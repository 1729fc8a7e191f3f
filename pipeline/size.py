"""The size of a render."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from pipeline.errors import InvalidRequest, Words
from pipeline.request import RANGES, SIZE_STEP, Drawn, RenderRequest

LARGEST_FACTOR = 2
"""A render may have this many times the pack's native side in each direction, in pixel count.
Attention's memory grows with the square of the pixel count, and pictures fall apart far above the
size that the networks were trained at."""

LARGEST_UPSCALE = 4
"""An enlarged picture may have this many times the sides of the largest render. It is painted in
tiles of the native size, so memory does not grow with it; time does."""
WIDEST = 4.0
"""Largest ratio of a sketch's sides; beyond it no allowed size comes near."""


def render_size(
    sketch: tuple[int, int],
    width: int | None,
    height: int | None,
    native: int,
    field: str = "sketch",
) -> tuple[int, int]:
    """Width and height for a sketch of ``(width, height)`` pixels.

    With both open it is the allowed size nearest to the sketch's aspect ratio among those of about
    the `native` x `native` pixel count; with one open it follows the other.

    Args:
        field: what the picture was sent as. An image that is gone on from keeps its own size where
            a render may have it.

    Raises:
        InvalidRequest: the sketch is too long and narrow, or the size has more pixels than the
            pack's networks are meant for.
    """
    ratio = sketch[0] / sketch[1]
    if width is None and height is None:
        if field == "image" and _is_allowed(sketch, native):
            return sketch
        _refuse_strip(sketch, field)
        return _nearest(ratio, native)
    width = width or _snap("width", (height or native) * ratio)
    height = height or _snap("height", width / ratio)
    if width * height > (most := _most(native)):
        side = LARGEST_FACTOR * native
        raise InvalidRequest(
            "width",
            Words(f"{width} (x height {height} = {width * height:,} pixels)"),
            f"at most {most:,} pixels with this pack",
            f"Try {side} x {side} or less; {native} x {native} is what it is made for.",
        )
    return width, height


def painted_size(request: RenderRequest, first: tuple[int, int], native: int) -> tuple[int, int]:
    """Width and height of a picture before it is enlarged.

    Args:
        first: those of the image, with what is around it, or of the sketch.
        native: as for :func:`render_size`.

    Raises:
        InvalidRequest: as :func:`render_size`; also more pixels than this pack may paint would come
            of it.
    """
    size = first
    if not request.only_enlarges or request.width or request.height:
        field = "image" if request.image else "sketch"
        size = render_size(first, request.width, request.height, native, field)
    if request.upscale > 1:
        _require_enlarged(size, request.upscale, native)
    return size


def require_paintable(
    request: RenderRequest, sizes: Mapping[Drawn, tuple[int, int]], native: int
) -> None:
    """Refuse what a render would refuse for the `sizes` of its pictures, before it waits.

    Args:
        sizes: ``(width, height)`` in pixels of those that are drawn, by field.
        native: as for :func:`render_size`; 0 where that is not known.

    Raises:
        InvalidRequest: as :func:`painted_size` and :func:`require_fitting`.
    """
    field: Drawn = "image" if "image" in sizes else "sketch"
    if "mask" in sizes:
        require_fitting(sizes["mask"], sizes[field])
    left, top, right, bottom = request.pad or (0, 0, 0, 0)
    width, height = sizes[field]
    around = width + left + right, height + top + bottom
    if native:
        painted_size(request, around, native)


def require_fitting(mask: tuple[int, int], image: tuple[int, int]) -> None:
    """Refuse a mask that has not the size of its image, both ``(width, height)`` in pixels.

    Raises:
        InvalidRequest: that is so.
    """
    if mask != image:
        found, size = (f"{width} x {height}" for width, height in (mask, image))
        remedy = "Scale it to the size of the image."
        raise InvalidRequest("mask", Words(f"{found} pixels"), f"{size}, as the image", remedy)


def _require_enlarged(size: tuple[int, int], upscale: int, native: int) -> None:
    (width, height), most = size, _most(native) * LARGEST_UPSCALE**2
    if width * height * upscale**2 > most:
        raise InvalidRequest(
            "upscale",
            Words(
                f"{upscale} (x {width} x {height} = {width * upscale} x {height * upscale} pixels)"
            ),
            f"at most {most:,} pixels with this pack",
            "Enlarge it less, or begin with a smaller picture.",
        )


def _most(native: int) -> int:
    """Pixels of a render at most."""
    return (LARGEST_FACTOR * native) ** 2


def _is_allowed(size: tuple[int, int], native: int) -> bool:
    sides = zip(("width", "height"), size, strict=True)
    fit = all(RANGES[side].holds(pixels) for side, pixels in sides)
    return fit and size[0] * size[1] <= _most(native)


def _refuse_strip(sketch: tuple[int, int], field: str) -> None:
    if max(sketch) > WIDEST * min(sketch):
        raise InvalidRequest(
            field,
            Words(f"{sketch[0]} x {sketch[1]} pixels"),
            f"sides of at most {WIDEST:g} to 1",
            "Crop it, or name width and height.",
        )


def _nearest(ratio: float, native: int) -> tuple[int, int]:
    sides = range(int(RANGES["width"].low), int(RANGES["width"].high) + 1, SIZE_STEP)
    sizes = [(width, height) for width in sides for height in sides]

    def misfit(size: tuple[int, int]) -> float:
        shape = abs(log(size[0] / size[1] / ratio))
        # A picture of another pixel count is a lesser evil than one of another shape.
        return shape + 0.15 * abs(log(size[0] * size[1] / native**2))

    return min(sizes, key=misfit)


def _snap(side: str, wanted: float) -> int:
    allowed = RANGES[side]
    inside = min(max(wanted, allowed.low), allowed.high)
    return round(inside / SIZE_STEP) * SIZE_STEP
