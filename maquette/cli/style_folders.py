"""The pictures in folders, as people keep and send them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from maquette.cli.common import fail
from retrieval.styles import ENTRY_FIELDS, slug

SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp",
    ".avif", ".bmp", ".gif", ".heic", ".pdf", ".svg", ".tif", ".tiff",
}  # fmt: skip
"""What people keep pictures in; the service says of each whether it reads it."""
NAMES_FILE = "styles.json"
NAMES_EXAMPLE = '{"file.png": {"name": "Art Deco", "tags": ["historic"]}}'
MACOS = "__MACOSX"
"""What an archive of macOS's has beside the files that it was made of."""


@dataclass(frozen=True)
class Entry:
    """A picture to add."""

    path: Path
    name: str
    options: Mapping[str, Any]
    """Its other fields that are known, as the client takes them."""


@dataclass
class Found:
    """What there is to add, and what there is besides."""

    entries: list[Entry] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    """Files that are no styles, or whole folders, and why."""
    refused: list[tuple[Path, str]] = field(default_factory=list)
    """Pictures that cannot be added beside the others, and why."""


def find_pictures(
    paths: Sequence[Path], options: Mapping[str, Any] = MappingProxyType({})
) -> Found:
    """The pictures among `paths`, each once; a file that is named counts, whatever its suffix.

    Args:
        options: fields of each picture; lists come after its own, other values before.
    """
    found, by_id = Found(), dict[str, Entry]()
    names = functools.cache(_names)
    for path in paths:
        for file in _pictures(path, found) if path.is_dir() else [path]:
            known = names(file.parent).get(file.name, {})
            entry = Entry(file, known.get("name", _title(file)), _merged(known, options))
            # Where a name makes no id, the service says what is wrong with it.
            first = by_id.setdefault(slug(entry.name) or str(file), entry)
            if first is entry:
                found.entries.append(entry)
            elif first.path.resolve() != file.resolve():
                found.refused.append((file, _same_id(entry, first)))
    return found


def _merged(own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in own.items() if name != "name"}
    for name, value in given.items():
        merged[name] = [*own.get(name, ()), *value] if ENTRY_FIELDS[name].several else value
    return merged


def _same_id(entry: Entry, first: Entry) -> str:
    return (
        f"its name {entry.name!r} makes the id {slug(entry.name)!r}, as {first.name!r} of "
        f"{first.path} does. Give one of them another name, with --name or in {NAMES_FILE}."
    )


def _pictures(folder: Path, found: Found) -> Iterator[Path]:
    """The pictures in `folder` and below, sorted; `found` is told what else there is."""
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        found.skipped.append((folder, f"cannot be read: {error.strerror}"))
        return
    for path in inside:
        why = _why_skipped(path)
        if why:
            found.skipped.append((path, why))
        elif path.is_dir():
            yield from _pictures(path, found)
        elif path.name != NAMES_FILE:
            yield path


def _why_skipped(path: Path) -> str:
    """Empty where it is not skipped."""
    if path.name == MACOS:
        return "macOS's own"
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        return "a link to a folder" if path.is_symlink() else ""
    if not path.is_file():
        return "not a file"
    is_wanted = path.name == NAMES_FILE or path.suffix.lower() in SUFFIXES
    return "" if is_wanted else "not a picture, by its name"


def _names(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / NAMES_FILE
    if not file.exists():
        return {}
    try:
        names = json.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise fail(f"{file} is not JSON: {error}") from error
    except OSError as error:
        raise fail(f"{file} cannot be read: {error.strerror}") from error
    if not isinstance(names, dict):
        raise fail(f"{file} must look like {NAMES_EXAMPLE}")
    for picture, known in names.items():
        _check_entry(file, picture, known)
    return names


def _check_entry(file: Path, picture: str, known: Any) -> None:
    if not isinstance(known, dict) or not all(map(_fits, known, known.values())):
        raise fail(f"{file}: the entry of {picture} must look like {NAMES_EXAMPLE}")
    if not (file.parent / picture).exists():
        raise fail(f"{file} names {picture}, which is not in the folder.")


def _fits(name: str, value: Any) -> bool:
    field = ENTRY_FIELDS.get(name)
    if field is None:
        return False
    several = isinstance(value, list)
    values = value if several else [value]
    return several == field.several and all(isinstance(each, field.kind) for each in values)


def _title(file: Path) -> str:
    return file.stem.replace("-", " ").replace("_", " ")
