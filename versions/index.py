"""What a repository in an object store consists of.

One small object names all the others and holds all that changes: aliases, canary, history. It is
replaced only by who has seen the one that is there, so a change is there at once or not at all,
and nobody's is lost. The files of versions never change, and lie under keys that are used once.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.errors import Unavailable
from versions import aliases, canary, configs, history, reading
from versions.manifest import ENGINE_SUFFIXES

KEY = "repository.json"
FORMAT = 1
TEXTS = (
    history.FILE,
    canary.FILE,
    *sorted({str(aliases.path_of(Path(), model)) for model in aliases.VERSIONED}),
)
"""Files that change, by their path in the repository. Readers see them in this order."""
_FILE = re.compile(r"[a-z0-9_]+/(?:[0-9]{1,9}/[^./][^/\0]*|configs/[a-z0-9_]+\.pbtxt)")
_KNOWN = (*ENGINE_SUFFIXES, ".json", ".pbtxt")
"""What exports and publishing write; nothing else in those folders is sent or fetched."""
_OWN = re.compile(r"[a-z0-9_]+/(?:config\.pbtxt|[0-9]+/(?:model\.py|README))")
"""What comes with maquette itself."""
_MADE = f"/configs/{configs.NAME}.pbtxt"
"""What is written wherever Triton is started."""
_KEY = re.compile(r"[a-z0-9_]+/[a-z0-9]+\.[0-9a-f]{16}/[^/\0]+")


@dataclass(frozen=True)
class File:
    """A file of a version, or a config that an export wrote."""

    key: str
    """Of the object that holds it."""
    sha256: str
    size: int


@dataclass(frozen=True)
class Index:
    """A repository as one change left it."""

    files: Mapping[str, File]
    """By path in the repository."""
    texts: Mapping[str, str]
    """What is in each of ``TEXTS`` that there is."""
    commit: str = field(default_factory=lambda: secrets.token_hex(8))
    """Of every change another one."""

    def to_bytes(self) -> bytes:
        """As it stands in the store."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()

    def same(self, other: Index) -> bool:
        """Whether it is the same repository, whoever wrote it."""
        return replace(self, commit=other.commit) == other


def from_bytes(data: bytes, place: str) -> Index:
    """The index that stands in the store as `data`.

    Args:
        place: what it is called, for people.

    Raises:
        Unavailable: it is none, or of a newer maquette.
    """
    try:
        found = reading.from_json(data)
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']}, and {FORMAT} is known here")
        return _checked(found)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise Unavailable(
            f"{place} does not say what is in the repository ({error}). Use the maquette that "
            "wrote it, or restore the object."
        ) from error


def _checked(found: Mapping[str, Any]) -> Index:
    """The index whose paths lead nowhere else; ValueError or TypeError where one does."""
    files = {path: File(**file) for path, file in found["files"].items()}
    for path, file in files.items():
        if not is_stored(path) or not is_key(file.key):
            raise ValueError(f"it names {path!r} at {file.key!r}")
        if not (type(file.size) is int and file.size >= 0 and isinstance(file.sha256, str)):
            raise ValueError(f"it does not say what {path!r} is")
    for path, text in found["texts"].items():
        if path not in TEXTS or not isinstance(text, str):
            raise ValueError(f"it names {path!r}")
        if path.endswith(aliases.FILE):
            aliases.from_text(text)
    files = {path: file for path, file in files.items() if path.endswith(_KNOWN)}
    return Index(files, found["texts"], str(found["commit"]))


def is_stored(path: str) -> bool:
    """Whether the file at `path` of a repository belongs into a store, and lasts."""
    return bool(_FILE.fullmatch(path)) and not (is_own(path) or path.endswith(_MADE))


def is_own(path: str) -> bool:
    """Whether the file at `path` of a repository comes with maquette itself."""
    return bool(_OWN.fullmatch(path))


def is_key(key: str) -> bool:
    """Whether an object of that key can be a file of a repository."""
    return bool(_KEY.fullmatch(key))


def new_key(path: str) -> str:
    """A key for the file at `path` that no other file has or had."""
    folder, _, name = path.rpartition("/")
    return f"{folder}.{secrets.token_hex(8)}/{name}"


def stored_in(folder: Path) -> Iterator[str]:
    """The paths of all files in the repository `folder` that belong into a store."""
    for name in _names_in(folder):
        path = folder / name
        if path.is_file() and not path.is_symlink():
            yield name


def links_in(folder: Path) -> Iterator[str]:
    """The paths of links in the repository `folder` where files belong into a store."""
    return (name for name in _names_in(folder) if (folder / name).is_symlink())


def _names_in(folder: Path) -> Iterator[str]:
    names = (path.relative_to(folder).as_posix() for path in sorted(folder.glob("*/*/*")))
    return (name for name in names if name.endswith(_KNOWN) and is_stored(name))


def texts_in(folder: Path) -> dict[str, str]:
    """What is in each of ``TEXTS`` that the repository `folder` has."""
    there = (name for name in TEXTS if (folder / name).is_file())
    return {name: (folder / name).read_text(encoding="utf-8") for name in there}
