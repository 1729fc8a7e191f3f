"""The exporter's command, as ``python -m export`` and ``maquette export``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from export.quiet import quiet_libraries

NO_TORCH = (
    "export: this environment has no torch, which serving does without. "
    "Use `make export`, or install maquette[export]."
)


def run(pack_folder: Path, repository: Path, force: bool) -> int:
    """Export `pack_folder` into `repository`, showing progress and a parity table.

    Returns:
        0 when every network passed, 1 when one did not or the pack could not be read.
    """
    if importlib.util.find_spec("torch") is None:
        print(NO_TORCH, file=sys.stderr)
        return 1
    quiet_libraries()
    from safetensors import SafetensorError

    from export.engines import export_pack
    from export.networks import NAMES
    from export.pack import Pack, PackError

    console = Console()
    outcomes = []
    try:
        pack = Pack(pack_folder)
        with _progress(console) as progress:
            task = progress.add_task("", total=len(NAMES))
            for outcome in export_pack(
                pack,
                repository,
                force=force,
                report=lambda network: progress.update(task, description=network),
            ):
                outcomes.append(outcome)
                progress.advance(task)
    except PackError as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, SafetensorError) as error:
        # What diffusers, transformers and safetensors raise over files that are damaged or absent.
        print(f"export: {pack_folder} cannot be read: {error}", file=sys.stderr)
        return 1

    table = Table("network", "MB", "max error", "tolerance", "parity", "", title=f"{pack_folder}")
    for outcome in outcomes:
        parity = outcome.parity
        table.add_row(
            outcome.network,
            f"{outcome.megabytes:.1f}",
            f"{parity.error:.1e}",
            f"{parity.tolerance:.0e}",
            "[green]pass" if parity.passed else "[red]FAIL",
            "built" if outcome.built else "up to date",
        )
    console.print(table)
    return 0 if all(outcome.parity.passed for outcome in outcomes) else 1


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
