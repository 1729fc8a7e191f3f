"""Files that are there for good, whole or not at all, also after a power cut."""

from __future__ import annotations

import json
import os
from pathlib import Path


def write_json(path: Path, value: object) -> None:
    """Put `value` in place of the file at `path`: a reader sees the old one or the new one."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """`value` as ``write_json`` writes it."""
    return json.dumps(value, indent=2) + "\n"


def write_text(path: Path, text: str) -> None:
    """Put `text` in place of the file at `path`, likewise."""
    aside = aside_of(path)
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync_folder(path.parent)


def aside_of(path: Path) -> Path:
    """Where the file at `path` is written before it takes its place."""
    return path.with_name(f".{path.name}.partial")


def remove(path: Path) -> None:
    """Take away the file at `path`, if it is there."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed and removed in `folder` last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
