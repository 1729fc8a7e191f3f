"""Who changed which version, when and why: one line for each change, added and never altered."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import InvalidRequest, Unavailable
from versions import durable, reading
from versions.described import Described

FILE = "history.jsonl"
KEYS = {"from_version": "from", "to_version": "to", "pinned": "line_up"}
"""Names in the file that Python keeps for itself, or that changed since files were written."""


@dataclass(frozen=True)
class Entry(Described):
    """One change."""

    action: str
    """publish, gate, promote, rollback, withdraw, retire, canary or reembed."""
    model: str
    who: str
    why: str = ""
    from_version: int | None = None
    to_version: int | None = None
    source: str = ""
    """Of a publish: the address that its files were fetched from; empty for a folder's."""
    forced: bool = False
    """Whether it was done without a passed gate."""
    passed: bool | None = None
    """Of a gate: what it decided."""
    pinned: Mapping[str, int] = field(default_factory=dict)
    """Of a gate or a canary: the version of each model that was tried."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """What tells each of them from others of that number, by the model's name."""
    report: str = ""
    """Of a gate: the path of its report, where the gate was run."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """Of a gate: its figures. Of a canary: its shares, and what it came to."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    """In ISO 8601."""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {KEYS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Entry:
        """The entry that stands in the file as `found`; TypeError when it is none."""
        names = {key: name for name, key in KEYS.items()}
        return reading.checked(cls(**{names.get(key, key): value for key, value in found.items()}))


def read(repository: Path) -> list[Entry]:
    """All changes, the oldest first.

    Raises:
        Unavailable: a line is not an entry.
    """
    path = repository / FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    entries = []
    # What follows the last newline was being written when the power went.
    for number, line in enumerate(text.split(b"\n")[:-1], start=1):
        try:
            entries.append(Entry.from_dict(reading.from_json(line)))
        except (TypeError, ValueError, AttributeError) as error:
            raise Unavailable(
                f"{path}: line {number} is not an entry ({error}). Restore the file from a backup, "
                "or remove that line."
            ) from error
    return entries


@dataclass(frozen=True)
class Page(Described):
    """Some changes, the newest first."""

    changes: list[Entry]
    next_page_token: str
    """Asks for the next page; empty on the last one."""


def page(repository: Path, model: str, size: int, first: str = "") -> Page:
    """A page of what was done with `model`; with anything where it is empty.

    Args:
        size: changes on a page.
        first: the token of the page before, which is the id of a change; empty for the newest.

    Raises:
        InvalidRequest: no such change has that id.
        Unavailable: a line of the history is not an entry.
    """
    entries = [e for e in reversed(read(repository)) if not model or model in e.model.split()]
    ids = [entry.id for entry in entries]
    if first and first not in ids:
        remedy = "Leave it out for the first page."
        raise InvalidRequest("page_token", first, "the next_page_token of a page", remedy)
    begin = ids.index(first) if first else 0
    end = begin + size
    return Page(entries[begin:end], ids[end] if end < len(ids) else "")


def append(repository: Path, entry: Entry) -> None:
    """Add `entry`, unless it is there already. Hold the operation lock meanwhile."""
    path = repository / FILE
    with path.open("a+b") as file:
        file.seek(0)
        written = file.read()
        whole = written[: written.rfind(b"\n") + 1]
        if len(whole) < len(written):
            file.truncate(len(whole))
        if f'"id": "{entry.id}"'.encode() in whole:
            return
        file.write(json.dumps(entry.to_dict()).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    durable.sync_folder(repository)
