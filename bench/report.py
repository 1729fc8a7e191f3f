"""The report: its file, and the tables of loads that are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.bars import BARS
from evaluation.bars import Verdict, shown
from versions import durable

FILE = "report.json"


def finished(
    found: Mapping[str, Any], effort: str, parts: Iterable[str], machine: Mapping[str, Any]
) -> dict[str, Any]:
    """The report of a run of `parts` that `found` these figures."""
    absent = [bar.figure for bar in BARS if bar.verdict(found) is Verdict.NOT_MEASURED]
    return {
        **found,
        "effort": effort,
        "parts": list(parts),
        "not_measured": list(dict.fromkeys(absent)),
        "machine": dict(machine),
    }


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Write the report to `folder`."""
    durable.write_json(folder / FILE, found)


def loads(found: Mapping[str, Any]) -> Iterable[Table]:
    """The levels of the closed and the open loop, as far as they were measured."""
    for name in ("closed_loop", "open_loop"):
        rows = found.get(name)
        if rows:
            # One word a line, so that the columns fit into a terminal.
            heads = [column.replace("_", "\n") for column in rows[0]]
            table = Table(*heads, title=name.replace("_", " "), padding=0)
            for row in rows:
                table.add_row(*map(shown, row.values()))
            yield table
