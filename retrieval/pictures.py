"""The stored pictures of the styles: PNG files named after their content.

Beside them lies what the database says of each style, so that a lost database loses no name or tag.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.errors import StageFailed, Unavailable
from retrieval.styles import Style, point_id
from versions import durable, reading

MAX_KEPT_BYTES = 64 * 2**20
"""Of pictures in memory."""
RESERVE = "reserve"
RESERVE_BYTES = 256 * 1024

log = logging.getLogger("maquette.retrieval")


class Unwritable(Unavailable):
    """The library's disk takes no more."""


def unwritable(error: Exception) -> Unwritable:
    """`error` of the disk or the database, as one sentence; the log names the file."""
    log.error("the style library cannot be written: %s", error)
    return Unwritable(
        "The style library cannot be written: its disk is full, or does not let the gateway write "
        "(the gateway's log names the file). Make room there, or remove styles, and try again."
    )


def digest(png: bytes) -> str:
    """The name that `png` is stored under."""
    return hashlib.sha256(png).hexdigest()


class Pictures:
    """A folder of PNG files, each named by its sha256, and of a JSON file for each style.

    Writing raises ``Unwritable`` when the disk refuses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.keep_reserve()

    def put(self, name: str, png: bytes) -> None:
        """Store `png` under its :func:`digest`, also in place of a file that was damaged."""
        if self._read(name) != png:
            self._write(self._path(name), png)

    def get(self, name: str) -> bytes:
        """The PNG called `name`.

        Raises:
            StageFailed: it is gone or damaged, though the library still names it.
        """
        png = self._read(name)
        if png is None or digest(png) != name:
            found = "missing from" if png is None else "damaged in"
            log.error("the picture %s is missing or damaged", self._path(name))
            raise StageFailed(
                f"The style's stored picture {name}.png is {found} the library's folder. Restore "
                "the file, or add the style again with `maquette styles add --replace`."
            )
        return png

    def take(self, name: str) -> bytes | None:
        """Remove the PNG called `name`, and return what it was; None if it is not there."""
        png = self._read(name)
        durable.remove(self._path(name))
        return png

    def record(self, style: Style) -> None:
        """Write down what `style` is, in place of what was written before."""
        self._write(self._record(style.id), durable.json_text(style.payload()).encode())

    def forget(self, identity: str) -> None:
        """Write of the style `identity` no more."""
        durable.remove(self._record(identity))

    def record_missing(self, styles: Iterable[Style]) -> None:
        """Write down those of `styles` that are not, as they are.

        All of them once after an update, so the disk is not waited for: the next start looks again.
        """
        try:
            there = {style.id: style for style in self.recorded()}
            for style in styles:
                if there.get(style.id) != style:
                    self._record(style.id).write_text(json.dumps(style.payload()), encoding="utf-8")
        except OSError as error:
            log.error("names and tags of styles are not all written down: %s", error)

    def recorded(self) -> Iterator[Style]:
        """The styles that are written down; what cannot be read is passed over."""
        for path in self.folder.glob("*.json"):
            with suppress(OSError, ValueError, TypeError, KeyError):
                yield Style.from_payload(reading.from_json(path.read_bytes()))

    def __len__(self) -> int:
        return sum(1 for _ in self.folder.glob("*.png"))

    def keep_reserve(self) -> None:
        """Hold room on the disk for deletions, which the database writes down before it deletes."""
        with suppress(OSError):
            path = self.folder / RESERVE
            if not path.exists():
                durable.write_bytes(path, bytes(RESERVE_BYTES))

    def release_reserve(self) -> None:
        """Give that room."""
        (self.folder / RESERVE).unlink(missing_ok=True)

    def _read(self, name: str) -> bytes | None:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            return None

    def _write(self, path: Path, content: bytes) -> None:
        # Two gateways may write the same one.
        own = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            durable.write_bytes(own, content)
            own.replace(path)
            durable.sync_folder(self.folder)
        except OSError as error:
            own.unlink(missing_ok=True)
            raise unwritable(error) from error

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def _record(self, identity: str) -> Path:
        # An id may be longer than the name of a file.
        return self.folder / f"{point_id(identity)}.json"


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
