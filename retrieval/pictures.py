"""The stored pictures of the styles: PNG files named after their content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from pipeline.errors import StageFailed


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
