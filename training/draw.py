"""Scenes to pictures: the sketch an architect would draw, and the same scene in a style."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from training.scenes import Scene, Shape
from training.styles import Style, Texture

SUPERSAMPLING = 3
JOINTS, HATCHES, RULES = 8, 32, 16
"""How often a texture repeats in a picture's side. All divide 256 / 8, so at the tiny pack's size a
pattern falls the same way into every patch that the VAE turns into one latent."""
Pixels = npt.NDArray[np.float32]
"""``[side, side, 3]``, 0 to 255."""


def draw_sketch(scene: Scene, side: int = 512, line_width: float = 5.0) -> Image.Image:
    """Black lines on white paper, hidden lines removed; `line_width` in thousandths of `side`."""
    canvas, pen = _canvas(side)
    for shape in scene.shapes:
        if shape.part != "sky":
            _draw(pen, shape, "white", "black", line_width, canvas.width)
    return canvas.resize((side, side), Image.Resampling.LANCZOS)


def draw_styled(scene: Scene, style: Style, seed: int, side: int = 256) -> Image.Image:
    """`scene` as `style` would show it; `seed` varies the texture only."""
    canvas, pen = _canvas(side)
    for shape in scene.shapes:
        if shape.part == "sky":
            canvas.paste(_sky(style, canvas.width))
        else:
            _draw(pen, shape, style.palette[shape.part], style.line, style.line_width, canvas.width)
    small = canvas.resize((side, side), Image.Resampling.LANCZOS)
    random = np.random.default_rng(seed)
    texture = _TEXTURES[style.texture]
    pixels = texture(np.asarray(small, dtype=np.float32), random, style.texture_strength)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    canvas = Image.new("RGB", (side * SUPERSAMPLING, side * SUPERSAMPLING), "white")
    return canvas, ImageDraw.Draw(canvas)


def _draw(
    pen: ImageDraw.ImageDraw, shape: Shape, fill: str, line: str, width: float, side: int
) -> None:
    points = [(x * side, y * side) for x, y in shape.outline]
    pen.polygon(points, fill=fill)
    stroke = max(1, round(width * side / 1000))
    pen.line([*points, points[0], points[1]], fill=line, width=stroke, joint="curve")


def _sky(style: Style, side: int) -> Image.Image:
    top, bottom = (
        np.array(ImageColor.getrgb(c), np.float32) for c in (style.sky_top, style.palette["sky"])
    )
    blend = np.clip(np.linspace(0, 1.25, side, dtype=np.float32), 0, 1)[:, None]
    rows = top * (1 - blend) + bottom * blend
    return Image.fromarray(np.repeat(rows[:, None], side, axis=1).astype(np.uint8))


def _cloud(random: np.random.Generator, side: int, cells: int) -> Pixels:
    """Smooth noise ``[side, side, 1]`` in [-1, 1] with about `cells` bumps a side."""
    coarse = random.uniform(-1, 1, (cells, cells)).astype(np.float32)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)[..., None]


def _flat(pixels: Pixels, _random: np.random.Generator, _strength: float) -> Pixels:
    return pixels


def _grain(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    side = len(pixels)
    return pixels + strength * (8 * _cloud(random, side, side // 3) + 5 * _cloud(random, side, 14))


def _concrete(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    side = len(pixels)
    stained = pixels + strength * (14 * _cloud(random, side, 12) + 8 * _cloud(random, side, 48))
    stained[:: side // JOINTS] -= 10
    return stained


def _wash(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    side = len(pixels)
    uneven = pixels * (1 + 0.10 * strength * _cloud(random, side, 9))
    return uneven + 4 * _cloud(random, side, 40)


def _paper(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    side = len(pixels)
    pale = 255 - (255 - pixels) * (0.85 + 0.30 * strength * _cloud(random, side, 10))
    return pale + 6 * _cloud(random, side, side // 4)


def _hatch(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    side = len(pixels)
    rows, columns = np.mgrid[0:side, 0:side]
    stripes = 0.5 + 0.5 * np.cos((rows + columns) * 2 * np.pi * HATCHES / side)[..., None]
    darkness = (255 - pixels.mean(axis=2, keepdims=True)) / 255
    drawn = pixels - 32 * strength * stripes.astype(np.float32) * darkness
    return drawn + 5 * _cloud(random, side, side // 4)


def _grid(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    ruled = pixels.copy()
    step = len(pixels) // RULES
    ruled[::step] += 11
    ruled[:, ::step] += 11
    return ruled + 4 * strength * _cloud(random, len(pixels), 24)


def _snow(pixels: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    side = len(pixels)
    flakes = (random.random((side, side)) < 0.0025).astype(np.float32)
    soft = cv2.GaussianBlur(flakes, (0, 0), side / 160)[..., None]
    return pixels + 6 * _cloud(random, side, 20) + 430 * strength * soft


def _glow(pixels: Pixels, _random: np.random.Generator, strength: float) -> Pixels:
    bright = np.where(pixels.max(axis=2, keepdims=True) > 200, pixels, 0)
    halo = np.asarray(cv2.GaussianBlur(bright, (0, 0), len(pixels) / 36), np.float32)
    return np.asarray(pixels + 0.7 * strength * halo, np.float32)


_TEXTURES: dict[Texture, Callable[[Pixels, np.random.Generator, float], Pixels]] = {
    "flat": _flat,
    "grain": _grain,
    "concrete": _concrete,
    "wash": _wash,
    "paper": _paper,
    "hatch": _hatch,
    "grid": _grid,
    "snow": _snow,
    "glow": _glow,
}
