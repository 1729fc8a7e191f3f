"""The styles that ship: each one's palette, line, texture and light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.scenes import Part

Texture = Literal["flat", "grain", "paper", "hatch", "wash", "grid", "snow", "glow", "concrete"]


@dataclass(frozen=True)
class Style:
    """How every part of a building looks."""

    name: str
    tags: tuple[str, ...]
    palette: dict[Part, str]
    line: str
    line_width: float
    """In thousandths of the picture's side; 0 draws no outline."""
    texture: Texture
    sky_top: str
    texture_strength: float = 1.0


def _palette(colours: str) -> dict[Part, str]:
    """Thirteen hex colours in the order of ``scenes.Part``."""
    parts: tuple[Part, ...] = (
        "sky", "sun", "hill", "ground", "path", "wall", "side", "roof", "trim", "window", "door",
        "trunk", "leaves",
    )  # fmt: skip
    return {part: f"#{colour}" for part, colour in zip(parts, colours.split(), strict=True)}


STYLES = (
    Style(
        "cyberpunk",
        ("night", "neon", "futuristic", "moody"),
        _palette(
            "3b1560 ff4fd8 1d0f3d 140a2b 2b1458 221446 2c1a5a"
            " 2a1250 ff2ec4 19e8ff ff7a1a 3a1a5c 0e5c6e"
        ),
        "#b44dff", 4.0, "glow", "#0b0524",
    ),
    Style(
        "ghibli",
        ("day", "warm", "painterly", "cheerful"),
        _palette(
            "a8dcf5 fff6c8 7cc46a 8fce5a e9d8a6 f7ecd2 e6d3ae"
            " c8553d ffffff 6fa8c9 8a5a3c 7a5230 4f9e45"
        ),
        "#4a3a2c", 3.0, "wash", "#4fb0ea",
    ),
    Style(
        "industrial",
        ("brick", "historic", "urban"),
        _palette(
            "b9b3a8 e8dcc0 8b8378 6e675e 8e867a 9c4a35 8a4130"
            " 4a4541 5c5650 2f3b42 3d2f28 4a3a2e 5d6648"
        ),
        "#2a211c", 3.0, "grain", "#8f8a82",
    ),
    Style(
        "pencil",
        ("monochrome", "drawing", "quiet"),
        _palette(
            "f4f2ec ffffff e2e0da d6d4ce ebe9e3 efede7 d9d7d0"
            " b5b3ad dcdad4 8f8d88 77756f 9a9892 b8b6b0"
        ),
        "#3c3b39", 4.0, "hatch", "#e9e7e1",
    ),
    Style(
        "scandinavian",
        ("minimal", "light", "modern", "calm"),
        _palette(
            "eef3f5 fffdf2 dfe6e4 e3e0d6 f2efe6 fbfaf6 e9e4d8"
            " 3f464b c9a878 a9c3cf d8a657 b79468 8fa58b"
        ),
        "#5a6065", 2.0, "flat", "#d9e6ec",
    ),
    Style(
        "brutalist",
        ("concrete", "grey", "monumental"),
        _palette(
            "c7ccd1 eceff1 9fa4a8 83878a a3a6a7 9a9a96 85857f"
            " 74746f b0b0ab 33383c 26292b 55524c 6d7566"
        ),
        "#3b3d3e", 3.0, "concrete", "#a9b1b8",
    ),
    Style(
        "art deco",
        ("historic", "luxury", "geometric"),
        _palette(
            "123b46 f2c14e 0e2c35 1a1a1a c9a24b f3e6c4 d9c79c"
            " 1f1f1f d4a437 1f5f6b b8862b 2b2b2b 2f6b4f"
        ),
        "#0d0d0d", 4.0, "flat", "#0a222b",
    ),
    Style(
        "blueprint",
        ("drawing", "technical", "blue", "monochrome"),
        _palette(
            "1f4e9c 2a5aa8 1f4e9c 1b478f 2352a0 2456a6 2150a0"
            " 1b4791 2c60b2 19418a 173d82 2456a6 2150a0"
        ),
        "#e6f0ff", 4.0, "grid", "#1f4e9c",
    ),
    Style(
        "watercolour",
        ("painterly", "soft", "light"),
        _palette(
            "cfe4f2 ffe9a8 c9dcc0 d9e3b8 efe3cd f6dccb e9c9b8"
            " b9788a e8b7a6 93b4d4 a8758f a58a72 94bf9a"
        ),
        "#8d7f86", 2.0, "paper", "#9cc8e8",
    ),
    Style(
        "winter",
        ("snow", "cold", "night", "calm"),
        _palette(
            "a9bfdd f4f8ff dfe8f4 f2f6fb d5e0ee 7d8fb0 6c7d9e"
            " eef4fb ffffff ffd37a 7a3b3b 4b4654 e4edf6"
        ),
        "#394560", 3.0, "snow", "#5f7fb0",
    ),
    Style(
        "desert",
        ("warm", "earth", "sunny"),
        _palette(
            "f6d9a4 fff3cf d89a54 e3b26b f0cf95 d9935a c27d48"
            " a85f37 edc48a 5a3a2a 2f7f86 7a5a34 8c9a4e"
        ),
        "#6b3f22", 3.0, "grain", "#7cc0d8",
    ),
    Style(
        "sunset",
        ("warm", "evening", "moody", "orange"),
        _palette(
            "ff9a56 fff0a0 8a4a6e 5b3350 b06a62 8f4d5f 7a3f55"
            " 43264a c46a5e ffd86b 2f1b38 2f1c2c 4a2b4f"
        ),
        "#2a1530", 3.0, "wash", "#5a3b86",
    ),
)  # fmt: skip
