"""What an operation is about to do, written down first, so that it can be finished or undone.

What was copied is undone if the copy is cut short. From the moment when the whole of the change is
written here it is finished instead: every step can be done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import Unavailable
from versions import aliases, canary, durable, history, reading
from versions.aliases import Aliases
from versions.canary import Canary
from versions.history import Entry

FILE = ".intent.json"
COPYING_FILE = ".copying.json"
"""While it copies, a publish has its intent here, beside which others come and go."""
Place = tuple[str, int]
"""A model, and a version of it."""


@dataclass(frozen=True)
class Intent:
    """A change, whole."""

    entry: Entry
    """What the history will say of it."""
    installs: tuple[Place, ...] = ()
    """Versions that lie aside, and take their place."""
    canary: Canary | None = None
    """What is put in place of the canary."""
    aliases: Mapping[str, Aliases] | None = None
    """What is put in place of the aliases of models."""
    removes: tuple[Place, ...] = ()

    @property
    def told(self) -> str:
        """What it is, for people."""
        version = self.entry.to_version or self.entry.from_version
        of = f" of {' '.join(str(word) for word in (self.entry.model, version) if word)}"
        asked = f" that {self.entry.who} began at {self.entry.time}"
        return f"{self.entry.action}{of if of.strip() != 'of' else ''}{asked}"


def aside(repository: Path, place: Place) -> Path:
    """Where a version is written that is not one yet. Triton does not look at such a name."""
    model, version = place
    return repository / model / f".{version}.partial"


def folder(repository: Path, place: Place) -> Path:
    """Where a version lies."""
    model, version = place
    return repository / model / str(version)


def commit(repository: Path, intent: Intent) -> None:
    """Write down `intent`, and do it. Hold the operation lock meanwhile."""
    durable.write_json(repository / FILE, _to_dict(intent))
    _finish(repository, intent)


def begin_copying(repository: Path, intent: Intent) -> None:
    """Write down that what `intent` installs is copied. Hold the publishing lock meanwhile."""
    durable.write_json(repository / COPYING_FILE, _to_dict(intent))


def undo_copying(repository: Path, intent: Intent) -> None:
    """Take away what was copied so far. Hold the publishing lock meanwhile."""
    for place in intent.installs:
        shutil.rmtree(aside(repository, place), ignore_errors=True)
    durable.remove(repository / COPYING_FILE)


def pending(repository: Path, file: str = FILE) -> Intent | None:
    """What an operation was at when it was cut short, or is at now.

    Raises:
        Unavailable: the file is not what it should be.
    """
    path = repository / file
    try:
        return _from_dict(reading.from_json(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise Unavailable(
            f"{path} does not say what was interrupted ({error}). Look at the aliases with "
            "`maquette models list`, then remove the file."
        ) from error


def recover(repository: Path) -> str:
    """Finish what was cut short. Hold the operation lock meanwhile.

    Returns:
        What was found and done, in one sentence; empty where nothing was.
    """
    # One that was not written to its end was not begun.
    durable.aside_of(repository / FILE).unlink(missing_ok=True)
    intent = pending(repository)
    if intent is None:
        return ""
    if not _can_finish(repository, intent):
        durable.remove(repository / FILE)
        return f"The {intent.told} was interrupted, and what it had copied is gone; it is undone."
    _finish(repository, intent)
    return f"The {intent.told} was interrupted half-way; it is finished now."


def is_finished(repository: Path, intent: Intent) -> bool:
    """Whether the history tells of it."""
    return any(entry.id == intent.entry.id for entry in history.read(repository))


def recover_copying(repository: Path) -> str:
    """Undo a copy that was cut short. Hold both locks meanwhile, and have called `recover`."""
    durable.aside_of(repository / COPYING_FILE).unlink(missing_ok=True)
    intent = pending(repository, COPYING_FILE)
    if intent is None:
        return ""
    undo_copying(repository, intent)
    return f"The {intent.told} was interrupted before it changed anything; it is undone."


def _can_finish(repository: Path, intent: Intent) -> bool:
    """Whether nobody took away what it had copied."""
    return all(
        aside(repository, place).exists() or folder(repository, place).exists()
        for place in intent.installs
    )


def _finish(repository: Path, intent: Intent) -> None:
    """Every step; those that are done already are left as they are.

    A version is there before an alias names it, and a canary ends before its candidate changes.
    """
    for place in intent.installs:
        if aside(repository, place).exists():
            aside(repository, place).rename(folder(repository, place))
            durable.sync_folder(repository / place[0])
    if intent.canary:
        canary.write(repository, intent.canary)
    if intent.aliases:
        with aliases.locked_for_writing(repository):
            for model, wanted in intent.aliases.items():
                aliases.write(repository, model, wanted)
    for place in intent.removes:
        _remove(repository, place)
    history.append(repository, intent.entry)
    copied = pending(repository, COPYING_FILE)
    if copied and copied.entry.id == intent.entry.id:
        durable.remove(repository / COPYING_FILE)
    durable.remove(repository / FILE)


def _remove(repository: Path, place: Place) -> None:
    """At once for whoever looks, whatever is left of it afterwards."""
    model, version = place
    gone = repository / model / f".{version}.retired"
    if folder(repository, place).exists():
        folder(repository, place).rename(gone)
        durable.sync_folder(repository / model)
    shutil.rmtree(gone, ignore_errors=True)
    durable.sync_folder(repository / model)


def _to_dict(intent: Intent) -> dict[str, Any]:
    return {
        "entry": intent.entry.to_dict(),
        "installs": intent.installs,
        "canary": asdict(intent.canary) if intent.canary else None,
        "aliases": {model: asdict(found) for model, found in (intent.aliases or {}).items()},
        "removes": intent.removes,
    }


def _from_dict(found: Mapping[str, Any]) -> Intent:
    told = found["canary"]
    intent = Intent(
        entry=Entry.from_dict(found["entry"]),
        installs=tuple((model, version) for model, version in found["installs"]),
        canary=canary.from_dict(told) if told else None,
        aliases={model: Aliases(**of) for model, of in found["aliases"].items()},
        removes=tuple((model, version) for model, version in found["removes"]),
    )
    return reading.checked(intent)
