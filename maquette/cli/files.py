"""Files that commands read and write."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from maquette.cli.common import fail
from versions import durable


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
    places = [file.parent, *([file] if file.exists() else [])]
    if not all(os.access(place, os.W_OK) for place in places):
        raise ValueError(f"{option} is {file}, which may not be written. Choose another place.")


def write(path: Path, data: bytes) -> None:
    """Put `data` in place of the file at `path`; the command ends with a plain line otherwise.

    A program that watches the file never sees half of it, and what cannot be written whole leaves
    the old one.
    """
    with _told(path):
        durable.write_bytes(path, data)


def write_new(path: Path, data: bytes, meant: Collection[Path] = ()) -> Path:
    """Put `data` at `path` or, where that is taken, at house-2.png, house-3.png …; the place.

    Args:
        meant: places that are written to afterwards, and so are taken, too.
    """
    taken = {place.resolve() for place in meant}
    others = (path.with_stem(f"{path.stem}-{n}") for n in itertools.count(2))
    places = (one for one in itertools.chain([path], others) if one.resolve() not in taken)
    with _told(path):
        free = next(filter(_claimed, places))
        try:
            durable.write_bytes(free, data)
        except BaseException:
            free.unlink(missing_ok=True)
            raise
    return free


def _claimed(path: Path) -> bool:
    """Whether `path` was free; it is this command's own now, however many run here."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise fail(
            f"{path} cannot be written: {error.strerror}. What was there before is as it was. "
            "Make room, or choose another place."
        ) from error
