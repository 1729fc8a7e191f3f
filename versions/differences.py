"""What is known of a version, fact by fact, and where two versions differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from versions import catalogue
from versions.catalogue import Version
from versions.described import Described


@dataclass(frozen=True)
class Difference(Described):
    """A fact that differs; empty where a version has no such fact."""

    name: str
    """As it stands in the manifest, such as ``build.precision``."""
    one: str
    other: str


@dataclass(frozen=True)
class Comparison(Described):
    """Two versions, and where they differ."""

    one: int
    other: int
    differences: list[Difference]


def compared(
    repository: Path, model: str, one: str = "champion", other: str = "candidate"
) -> Comparison:
    """Where two versions of `model` differ.

    Args:
        one: a number or an alias; so is `other`.

    Raises:
        InvalidRequest: there is no such model, or a name is neither.
        NotFound: there is no such version.
    """
    first = catalogue.find(repository, model, one, "one")
    second = catalogue.find(repository, model, other, "other")
    return Comparison(first.version, second.version, between(first, second))


def between(one: Version, other: Version) -> list[Difference]:
    """Where `one` and `other` differ, in the order of the manifest."""
    ours, theirs = facts_of(one), facts_of(other)
    return [
        Difference(name, ours.get(name, ""), theirs.get(name, ""))
        for name in ours | theirs
        if ours.get(name) != theirs.get(name)
    ]


def facts_of(version: Version) -> dict[str, str]:
    """What the manifests say, on one level: ``build.engine`` and so on.

    Where a version has several networks, their names come first: ``clip_text.build.engine``.
    """
    facts: dict[str, str] = {}
    several = len(version.manifests) > 1
    for name, found in version.manifests.items():
        _flatten(asdict(found) | {"sha256": found.sha256}, f"{name}." if several else "", facts)
    return facts


def _flatten(found: dict[str, Any], prefix: str, facts: dict[str, str]) -> None:
    for name, value in found.items():
        if isinstance(value, dict):
            _flatten(value, f"{prefix}{name}.", facts)
        else:
            facts[f"{prefix}{name}"] = str(value)
