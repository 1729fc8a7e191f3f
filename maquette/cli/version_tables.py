"""Versions of models, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Column, Table

from maquette.cli.common import in_markup
from versions import differences
from versions.catalogue import Version
from versions.history import Entry

SHOWN = 8
"""Digits that tell one checksum from another."""
UNKNOWN = "?"
FEW_STEPS = "few steps"


def table_of(versions: Sequence[Version]) -> Table:
    """A row for each version."""
    whole = [Column(name, no_wrap=True) for name in ("model", "version", "is")]
    table = Table(*whole, "pack", "MB", "exported", "engine")
    for version in versions:
        found = next(iter(version.manifests.values()), None)
        pack, exported = (found.pack, found.created[:10]) if found else (UNKNOWN, UNKNOWN)
        engine = "[red]not whole" if version.problem else found.sha256[:SHOWN] if found else ""
        facts = (pack, f"{version.megabytes:,.1f}", exported)
        names = names_of(version)
        table.add_row(version.model, str(version.version), names, *map(in_markup, facts), engine)
    return table


def names_of(version: Version) -> str:
    """What it is used as."""
    names = [*version.aliases, *([FEW_STEPS] if version.few_steps else [])]
    return ", ".join(names)


def history_table(entries: Sequence[Entry]) -> Table:
    """A row for each change."""
    table = Table("time (UTC)", "who", "what", "model", "from", "to", "why")
    for entry in entries:
        table.add_row(
            entry.time[:19].replace("T", " "),
            in_markup(entry.who),
            _what(entry),
            entry.model,
            *(str(number or "") for number in (entry.from_version, entry.to_version)),
            in_markup(entry.why),
        )
    return table


def facts_of(version: Version) -> dict[str, Any]:
    """Everything that is known of a version."""
    return {
        "model": version.model,
        "version": version.version,
        "aliases": list(version.aliases),
        "few_steps": version.few_steps,
        "megabytes": round(version.megabytes, 1),
        "problem": version.problem,
        "manifests": {
            name: {**asdict(found), "sha256": found.sha256}
            for name, found in version.manifests.items()
        },
    }


def difference_table(one: Version, other: Version) -> Table:
    """A row for each fact that differs."""
    titles = [f"{version.model} {version.version}" for version in (one, other)]
    table = Table("", *titles)
    for found in differences.between(one, other):
        table.add_row(*map(in_markup, (found.name, found.one, found.other)))
    return table


def _what(entry: Entry) -> str:
    if entry.passed is not None:
        return f"gate {'passed' if entry.passed else 'not passed'}"
    if "share" in entry.measures:
        return _canary(entry)
    return f"{entry.action} (forced)" if entry.forced else entry.action


def _canary(entry: Entry) -> str:
    """Its shares, and what it came to where that is told."""
    found = entry.measures
    shares = [f"{found['share']:.0%}"] if found["share"] else []
    shares += [f"shadow {found['shadow']:.0%}"] if found["shadow"] else []
    words = f"canary {', '.join(shares) or 'over'}{' (forced)' if entry.forced else ''}"
    if "candidate_renders" not in found:
        return words
    return f"{words}: {found['candidate_renders']:g} renders, {found['failed_renders']:g} failed"
