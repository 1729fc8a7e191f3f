"""``python -m drill``: see ``--help``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import psutil
import typer
from rich.console import Console

from bench import stack
from drill.bars import SWAPS, bars
from drill.course import Drill
from drill.repository import copied
from evaluation.bars import missed, table
from evaluation.console import Task, ending_in_one_sentence, progress_bars
from maquette.client import AsyncClient
from maquette.paths import MODEL_REPOSITORY
from versions import durable

app = typer.Typer()
REPORT = "report.json"
STOP_SECONDS = 5.0


@app.command()
def main(
    swaps: Annotated[
        int, typer.Option(help="Promotions and roll-backs, both counted.", min=10)
    ] = SWAPS,
    out: Annotated[
        Path, typer.Option(help="Folder of the report, the repository and the gates' reports.")
    ] = Path("out/drill"),
) -> None:
    """Promote and roll back while renders go on, with bad candidates and a process that dies.

    Works on a copy of what is exported, with a stack and a style library of its own. Whether a
    render was made of two versions is told by its pixels. Ends with 1 when a bar is missed.
    """
    out.mkdir(parents=True, exist_ok=True)
    # The report of a run before must not stand there when this one breaks off.
    (out / REPORT).unlink(missing_ok=True)
    with ending_in_one_sentence():
        found = _drilled(out.resolve(), swaps)
    durable.write_json(out / REPORT, found)
    asked, console = bars(swaps), Console()
    console.print(table(found, asked, title=f"{found['renders']} renders"))
    console.print(f"wrote {out / REPORT}", highlight=False)
    if any(missed(found, asked)):
        raise typer.Exit(1)


def _drilled(out: Path, swaps: int) -> dict[str, Any]:
    repository = copied(MODEL_REPOSITORY, out / "repository")
    with progress_bars() as task, TemporaryDirectory(prefix="maquette-drill-") as state:
        with stack.running(Path(state), repository) as running:
            found = asyncio.run(_run(repository, running, out, swaps, task))
            begun = psutil.Process().children(recursive=True)
        _, alive = psutil.wait_procs(begun, timeout=STOP_SECONDS)
    return found | {"processes_left": len(alive)}


async def _run(
    repository: Path, running: stack.Stack, out: Path, swaps: int, task: Task
) -> dict[str, Any]:
    async with AsyncClient(running.address) as client:
        return await Drill(repository, running, client, out, swaps, task).run()


if __name__ == "__main__":
    app()
