"""The stored pictures of the styles: PNG files named after their content."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from pathlib import Path

from pipeline.errors import StageFailed

MAX_KEPT_BYTES = 64 * 2**20
"""Of pictures in memory."""


def digest(png: bytes) -> str:
    """The name that `png` is stored under."""
    return hashlib.sha256(png).hexdigest()


class Pictures:
    """A folder of PNG files, each named by its sha256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def put(self, name: str, png: bytes) -> None:
        """Store `png` under its :func:`digest`. Storing it again changes nothing."""
        path = self._path(name)
        if not path.exists():
            aside = path.with_suffix(f".{os.getpid()}.partial")
            aside.write_bytes(png)
            aside.replace(path)

    def get(self, name: str) -> bytes:
        """The PNG called `name`.

        Raises:
            StageFailed: it is gone, though the library still names it.
        """
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError as error:
            raise StageFailed(
                "The style's stored picture is missing from the library's folder. "
                "Add the style again with `maquette styles add --replace`."
            ) from error

    def take(self, name: str) -> bytes | None:
        """Remove the PNG called `name`, and return what it was; None if it is not there."""
        path = self._path(name)
        try:
            png = path.read_bytes()
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)
        return png

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.png"


class Recent:
    """The pictures that were asked for last, in memory. A name means its content, so none is old.

    One that another gateway removes may stay for a while. Nothing asks for it then.

    Args:
        most: bytes of all of them; what was not asked for longest goes first.
    """

    def __init__(self, most: int = MAX_KEPT_BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def get(self, name: str) -> bytes | None:
        """The PNG called `name`, if it is kept."""
        if name in self._kept:
            self._kept.move_to_end(name)
        return self._kept.get(name)

    def put(self, name: str, png: bytes) -> None:
        """Keep `png`, in place of as many others as it takes."""
        self.drop(name)
        self._kept[name] = png
        self._size += len(png)
        while self._size > self._most:
            self.drop(next(iter(self._kept)))

    def drop(self, name: str) -> None:
        """Keep the PNG called `name` no longer."""
        self._size -= len(self._kept.pop(name, b""))
