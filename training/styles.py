"""The styles that ship; ``styles.toml`` has each one's palette, line, texture and light."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
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


def _read() -> tuple[Style, ...]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Style(**(table | {"tags": tuple(table["tags"])})) for table in tables["styles"])


STYLES = _read()
