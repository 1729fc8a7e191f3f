"""The exporter's command, as ``python -m export`` and ``maquette export``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from export.asked import Build, Wanted
from export.quiet import quiet_libraries

if TYPE_CHECKING:
    from export.engines import Outcome

NO_TORCH = (
    "export: this environment has no torch, which serving does without. "
    "Use `make export`, or install maquette[export]."
)


def has_torch() -> bool:
    """Whether this environment can export; says on standard error how to get one that can."""
    if importlib.util.find_spec("torch") is None:
        print(NO_TORCH, file=sys.stderr)
        return False
    return True


def run(wanted: Wanted, repository: Path, build: Build, *, force: bool) -> int:
    """Find or make the pack, export it into `repository`, and show a table of what was built.

    Returns:
        0 when every network passed; 1 when one did not, or the pack cannot be used; 130 when it was
        interrupted.
    """
    quiet_libraries()
    from export.checkpoints.assemble import assemble
    from export.checkpoints.find import find, pack_folder
    from export.engines import export_pack
    from export.files import PackError
    from export.pack import Pack

    console = Console()
    outcomes: list[Outcome] = []
    try:
        # Downloads show bars of their own, so they come first.
        found = find(wanted)
        with _progress(console) as report:
            if isinstance(found, Pack):
                pack = found
            else:
                pack = assemble(found, pack_folder(wanted), report)
            for outcome in export_pack(pack, repository, build, force=force, report=report):
                outcomes.append(outcome)
    except (PackError, OSError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = ", ".join(outcome.network for outcome in outcomes) or "nothing yet"
        print(f"export: interrupted. Kept: {kept}. The same command goes on.", file=sys.stderr)
        return 130
    for outcome in outcomes:
        if outcome.fused:
            counted = ", ".join(f"{n} {name}" for name, n in sorted(outcome.fused.items()))
            console.print(f"fused in {outcome.network}: {counted}", highlight=False)
    console.print(_table(f"{pack.folder}: {build.engine}, {build.precision}", outcomes))
    return 0 if all(outcome.parity.passed for outcome in outcomes) else 1


def _table(title: str, outcomes: list[Outcome]) -> Table:
    table = Table("network", "MB", "error", "at most", "parity", "", title=title)
    for outcome in outcomes:
        parity = outcome.parity
        table.add_row(
            outcome.network,
            f"{outcome.megabytes:,.1f}",
            f"{parity.error:.1e}",
            f"{parity.tolerance:.0e}",
            "[green]pass" if parity.passed else "[red]FAIL",
            "built" if outcome.built else "up to date",
        )
    return table


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """A line that tells what is being worked on; where nobody watches, a line for each."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")

        def report(doing: str) -> None:
            progress.update(task, description=doing)
            if not console.is_terminal:
                console.print(doing, highlight=False)

        yield report
