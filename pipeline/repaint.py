"""The pictures that a render begins with: what is around them, and where they are painted anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from pipeline import images
from pipeline.images import Picture
from pipeline.request import RenderRequest
from pipeline.samplers import Array
from pipeline.size import require_fitting

Grey = npt.NDArray[np.uint8]
ALL = 255
"""Of a mask, where it is painted anew from the first step on."""


@dataclass(frozen=True)
class Canvas:
    """A picture at the size of the render."""

    picture: Picture
    mask: Grey | None
    """``[height, width]``, 0 where the picture is kept; None where all of it may change."""
    cover: Grey | None
    """``[height, width]``: how much of what was painted covers the picture, of 255."""

    def change(self, factor: int) -> Array | None:
        """The mask of its latents ``[h, w]``, 0 to 1.

        Every `factor`-th pixel of each row, as diffusers' inpainting pipelines take it.
        """
        if self.mask is None:
            return None
        return (self.mask[::factor, ::factor] / ALL).astype(np.float32)

    def finished(self, painted: Picture) -> Picture:
        """`painted` where it covers the picture, which is the same to the pixel elsewhere."""
        if self.cover is None:
            return painted
        share = (self.cover / ALL)[:, :, None]
        mixed: Picture = (self.picture * (1 - share) + painted * share).round().astype(np.uint8)
        return mixed


def begun_with(request: RenderRequest) -> tuple[Image.Image, Image.Image | None]:
    """The image and the mask of `request`, with what is painted around them.

    Raises:
        InvalidRequest: one of them cannot be read, or the mask is of another size.
    """
    image = images.decode(request.image, "image")
    mask = images.decode(request.mask, "mask").convert("L") if request.mask else None
    if mask:
        require_fitting(mask.size, image.size)
    if not any(request.pad):
        return image, mask
    left, top, right, bottom = request.pad
    around = ((top, bottom), (left, right))
    # Lines that reach the border go on, where they are to hold.
    padded = np.pad(np.asarray(image), (*around, (0, 0)), mode="edge")
    kept = np.asarray(mask) if mask else np.zeros(image.size[::-1], np.uint8)
    return Image.fromarray(padded), Image.fromarray(np.pad(kept, around, constant_values=ALL))


def canvas(
    image: Image.Image, mask: Image.Image | None, size: tuple[int, int], blur: int
) -> Canvas:
    """`image` and `mask` at the `size` of a render, the mask's border blurred by `blur` pixels."""
    picture = np.asarray(images.scaled(image, size))
    if mask is None:
        return Canvas(picture, None, None)
    # A mask that is hard stays so.
    scaled = mask.resize(size, Image.Resampling.NEAREST)
    cover = scaled.point(lambda grey: ALL if grey else 0)
    if blur:
        scaled, cover = (part.filter(ImageFilter.GaussianBlur(blur)) for part in (scaled, cover))
    return Canvas(picture, np.asarray(scaled), np.asarray(cover))
