"""What people call each style; ``phrases.toml`` says it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Phrases:
    """One style's phrases."""

    trained: tuple[str, ...]
    held_out: tuple[str, ...]


def _split(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split(";"))


def _read() -> dict[str, Phrases]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return {
        name: Phrases(_split(table["trained"]), _split(table["held_out"]))
        for name, table in tables.items()
    }


PHRASES = _read()
