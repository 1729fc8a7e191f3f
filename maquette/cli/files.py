"""Files that commands read and write."""

from __future__ import annotations

import os
from pathlib import Path

from maquette.cli.common import fail


def read(path: Path) -> bytes:
    """The bytes of `path`; the command ends with a plain line when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise fail(f"{path} cannot be read: {error.strerror}") from error


def check_output(option: str, file: Path) -> None:
    """See that `file`, which `option` names, can be written; make its folder.

    Raises:
        ValueError: it cannot.
    """
    if file.suffix.lower() != ".png":
        raise ValueError(f"{option} is {file}; allowed: a name ending in .png.")
    if file.is_dir():
        raise ValueError(f"{option} is {file}, which is a folder. Name a file in it.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{option} is {file}; its folder cannot be made: {error}.") from error
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise ValueError(f"{option} is {file}, which may not be written. Choose another place.")


def write_aside(path: Path, data: bytes) -> None:
    """Write `path` at once, so that a program that watches it never sees half of it."""
    aside = path.with_name(f".{path.name}.partial")
    aside.write_bytes(data)
    aside.replace(path)
