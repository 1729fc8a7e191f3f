"""What is done with a library whose database is damaged or lost: its pictures are kept."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import NotFound, Unavailable
from retrieval.pictures import RESERVE, Pictures
from retrieval.styles import ENTRY_FIELDS
from versions import durable

RECORDS = ".records"
NAMES = "styles.json"
"""The names and tags of pictures, as `maquette styles add` reads them."""


@dataclass(frozen=True)
class Repaired:
    """Where everything is now."""

    pictures: Path
    """The folder to add from."""
    named: int
    """Styles whose names and tags are known."""
    database: Path | None
    """Where the old database was put; None where there was none."""


def repair(folder: Path) -> Repaired:
    """Put the database of the library in `folder` aside, and make its pictures ready to be added.

    Nothing is deleted. The library is empty afterwards.

    Raises:
        NotFound: there is no library.
        Unavailable: it is open in another process, or the disk refuses.
    """
    database, pictures = folder / "qdrant", folder / "pictures"
    if not pictures.is_dir():
        raise NotFound(f"{folder} is no style library: it has no folder {pictures.name}.")
    now = f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    kept, old = folder / f"recovered-{now}", folder / f"qdrant.damaged-{now}"
    try:
        with _alone(database):
            names = _names(pictures)
            durable.write_json(pictures / NAMES, names)
            pictures.rename(kept)
            if database.is_dir():
                database.rename(old)
            _leave_pictures(kept)
            durable.sync_folder(folder)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be repaired: {error}.") from error
    return Repaired(kept, len(names), old if old.exists() else None)


def _names(folder: Path) -> dict[str, dict[str, object]]:
    """Name and tags of each style, by a file of its picture; two styles may have the same one."""
    names: dict[str, dict[str, object]] = {}
    for style in Pictures(folder).recorded():
        picture = folder / f"{style.sha256}.png"
        if picture.name in names:
            picture = folder / f"{style.id[:80]}.png"
            picture.unlink(missing_ok=True)
            os.link(folder / f"{style.sha256}.png", picture)
        if picture.exists():
            names[picture.name] = {
                name: value for name, value in style.payload().items() if name in ENTRY_FIELDS
            }
    return names


def _leave_pictures(folder: Path) -> None:
    """Put what is no picture where nobody takes it for one."""
    (folder / RESERVE).unlink(missing_ok=True)
    (folder / RECORDS).mkdir()
    for path in folder.glob("*.json"):
        if path.name != NAMES:
            path.rename(folder / RECORDS / path.name)


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """The lock that Qdrant's embedded engine holds, for the block."""
    if not database.is_dir():
        yield
        return
    with (database / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"{database.parent} is open in another process. Stop the gateway first."
            ) from error
        yield
