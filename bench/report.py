"""The report: its file, and the tables that are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.bars import BARS, Verdict, look_up
from versions import durable

FILE = "report.json"
COLOURS = {
    Verdict.REACHED: "green",
    Verdict.MISSED: "red",
    Verdict.NOT_MEASURED: "yellow",
}
WITHOUT_BARS = (
    "engine_batch_gain_8",
    "encode_ms_p50",
    "few_steps_speedup",
    "few_steps_throughput_8_over_1",
)


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


def verdicts(found: Mapping[str, Any]) -> Table:
    """Figure, found, bar, reached or missed."""
    table = Table("figure", "found", "bar", "")
    for bar in BARS:
        verdict, limit = bar.verdict(found), bar.limit(found)
        sign = "≤" if bar.upper else "≥"
        wanted = shown(limit) if isinstance(limit, bool) else f"{sign} {shown(limit)}"
        colour = COLOURS[verdict]
        table.add_row(
            bar.figure, shown(look_up(found, bar.figure)), wanted, f"[{colour}]{verdict}[/{colour}]"
        )
    for figure in WITHOUT_BARS:
        if look_up(found, figure) is not None:
            table.add_row(figure, shown(look_up(found, figure)), "", "")
    return table


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


def shown(value: Any) -> str:
    """A figure as it is printed."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
