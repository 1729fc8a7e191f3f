"""Which version of each model is the champion, the candidate and the previous one.

One file per model, replaced at once. A model without a file has one champion: what was exported.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from pipeline import pinned_versions
from pipeline.errors import InvalidRequest, NotFound, Unavailable
from pipeline.pinned_versions import EXPORTED, PinnedVersions
from versions import durable, reading

FILE = "aliases.json"
LOCK = ".lock"
NAMES = pinned_versions.ALIASES
CLIP = ("clip_text", "clip_image")
"""A pair: vectors of one are compared with vectors of the other, so both have the same version.
The file of the first says it for both."""
PAIR = "clip"
"""What the two are called together."""
VERSIONED = (*pinned_versions.NETWORKS, *CLIP)
"""Models whose versions can be published."""


@dataclass(frozen=True)
class Aliases:
    """The versions of one model that are served."""

    champion: int = EXPORTED
    """Makes what nobody asked another version for."""
    candidate: int | None = None
    """To be gated, or tried by a share of the renders."""
    previous: int | None = None
    """The champion before, for roll-back."""

    @property
    def versions(self) -> frozenset[int]:
        """All of them."""
        return frozenset(version for version in asdict(self).values() if version is not None)


@dataclass(frozen=True)
class Snapshot:
    """The aliases of all models at one moment."""

    aliases: Mapping[str, Aliases]

    def pinned(self, alias: str = "champion") -> PinnedVersions:
        """What `alias` stands for; a model without such a version takes part with its champion.

        Raises:
            InvalidRequest: there is no such alias.
            NotFound: no model has such a version.
        """
        if alias not in NAMES:
            allowed = ", ".join(NAMES)
            raise InvalidRequest("versions", alias, allowed, "Leave it empty for the champion.")
        wanted = {name: getattr(self.aliases[name], alias) for name in pinned_versions.NETWORKS}
        if not any(wanted.values()):
            raise NotFound(f"No network has a {alias} version. `maquette models list` shows them.")
        return PinnedVersions(
            **{name: version or self.aliases[name].champion for name, version in wanted.items()}
        )

    def served_versions(self) -> dict[str, PinnedVersions]:
        """Every set of versions that is to be served, by its alias."""
        present = {
            alias
            for alias in NAMES
            if any(getattr(self.aliases[name], alias) for name in pinned_versions.NETWORKS)
        }
        return {alias: self.pinned(alias) for alias in NAMES if alias in present}

    def champion(self, model: str) -> int:
        """The champion of `model`; of one without versions, what was exported."""
        return self.aliases.get(model, Aliases()).champion

    def of(self, model: str) -> Aliases:
        """Those of `model`; of the pair, by either name or that of both."""
        return self.aliases[CLIP[0] if model == PAIR else model]

    def candidates(self) -> dict[str, int]:
        """The candidates that paint, by the network's name."""
        found = {name: self.aliases[name].candidate for name in pinned_versions.NETWORKS}
        return {name: version for name, version in found.items() if version is not None}

    def clips(self) -> frozenset[int]:
        """The versions of the CLIP pair that are served."""
        return self.aliases[CLIP[0]].versions


def read(repository: Path) -> Snapshot:
    """The aliases in `repository` as one command left them, never half-way through another.

    Raises:
        Unavailable: a file is not what it should be.
    """
    with _locked_for_reading(repository):
        return read_within(repository)


def read_within(repository: Path) -> Snapshot:
    """The same, for who holds the lock already."""
    found = {model: _read(path_of(repository, model)) for model in VERSIONED}
    return Snapshot(MappingProxyType(found))


def stamp(repository: Path) -> tuple[int, ...]:
    """Changes when an alias does. Costs a look at each file, no more."""
    return tuple(mark for model in VERSIONED for mark in stamp_of(path_of(repository, model)))


def path_of(repository: Path, model: str) -> Path:
    """The file that says which versions of `model` are served."""
    return repository / (CLIP[0] if model in CLIP else model) / FILE


def write(repository: Path, model: str, aliases: Aliases) -> None:
    """Put `aliases` in place of those of `model`, at once and for good. Hold the lock meanwhile."""
    path = path_of(repository, model)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write_json(path, asdict(aliases))


@contextmanager
def locked_for_writing(repository: Path) -> Iterator[None]:
    """Nobody reads meanwhile: for as long as files are being replaced, no longer."""
    with (repository / LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> Aliases:
    try:
        return from_text(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Aliases()
    except (OSError, TypeError, ValueError) as error:
        raise Unavailable(
            f"{path} does not say which versions serve ({error}). Restore it; history.jsonl in "
            f"{path.parent.parent} tells what it said."
        ) from error


def from_text(text: str) -> Aliases:
    """The aliases that stand in a file as `text`; TypeError or ValueError where none do."""
    found = reading.from_json(text)
    aliases = Aliases(**found)
    numbers = [number for number in asdict(aliases).values() if number is not None]
    if aliases.champion is None or not all(type(n) is int and n >= 1 for n in numbers):
        raise ValueError(found)
    return aliases


def stamp_of(path: Path) -> tuple[int, int]:
    """Changes when the file at `path` does; zeros where there is none."""
    # Two files within one tick of the clock differ in their inode.
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)


@contextmanager
def _locked_for_reading(repository: Path) -> Iterator[None]:
    """Shared with other readers. Without a lock file nothing was ever changed."""
    try:
        file = (repository / LOCK).open("rb")
    except FileNotFoundError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield
