"""Files that are there for good, whole or not at all, also on a full disk or after a power cut."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_json(path: Path, value: object) -> None:
    """Put `value` in place of the file at `path`: a reader sees the old one or the new one."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """`value` as ``write_json`` writes it."""
    return json.dumps(value, indent=2) + "\n"


def write_text(path: Path, text: str) -> None:
    """Put `text` in place of the file at `path`, likewise."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Put `data` in place of the file at `path`, likewise."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """A file to write to, which takes the place of the one at `path` when the block has ended well.

    Args:
        mode: permissions of a new file, less the umask; one that is replaced hands on its own.

    Raises:
        OSError: it cannot be written; what was at `path` is as it was.
    """
    path = path.resolve()  # a link stays one
    aside = aside_of(path)
    try:
        with open(aside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, aside)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
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
