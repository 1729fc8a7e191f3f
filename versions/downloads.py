"""Where files that lie elsewhere are put on this machine, and whether they fit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pipeline.errors import InvalidRequest, NotFound, Unavailable


def planned(source: str, folder: Path, sizes: Mapping[str, int]) -> dict[str, Path]:
    """Where in `folder` each file of `source` is to lie; the folders for them are made.

    Args:
        sizes: bytes of each file, by its name there.

    Raises:
        NotFound: there is none.
        InvalidRequest: a name would lead out of `folder`.
        Unavailable: there is no room.
    """
    if not sizes:
        raise NotFound(f"{source} holds nothing. Look at how it is written.")
    require_room(source, folder, sum(sizes.values()))
    targets = {name: inside(folder, name) for name in sizes}
    for path in targets.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    return targets


def inside(folder: Path, name: str) -> Path:
    """Where the file that is called `name` elsewhere lies in `folder`.

    Raises:
        InvalidRequest: the name would lead out of it.
    """
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in name or "\0" in name:
        raise InvalidRequest("name", name, "a name below its folder", "Rename it where it lies.")
    return folder.joinpath(*parts)


def require_room(source: str, folder: Path, size: int) -> None:
    """See that `size` bytes more fit into `folder`.

    Raises:
        Unavailable: they do not.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise Unavailable(
            f"{source} has {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {folder}. "
            "Make room there."
        )
