"""Versions of models, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Column, Table

from maquette.cli.common import in_markup
from versions.catalogue import Version
from versions.differences import Comparison
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


def difference_table(model: str, compared: Comparison) -> Table:
    """A row for each fact that differs."""
    table = Table("", f"{model} {compared.one}", f"{model} {compared.other}")
    for found in compared.differences:
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
