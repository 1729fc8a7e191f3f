"""What is known of a version, fact by fact, and where two versions differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from versions.catalogue import Version


@dataclass(frozen=True)
class Difference:
    """A fact that differs; empty where a version has no such fact."""

    name: str
    """As it stands in the manifest, such as ``build.precision``."""
    one: str
    other: str


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
