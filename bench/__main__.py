"""``python -m bench``: see ``--help``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import machine, report, stack
from bench.bars import BARS, WITHOUT_BARS
from bench.context import context
from bench.effort import FULL, SHORT, Effort
from bench.parts import PARTS
from evaluation.bars import missed, table
from evaluation.console import Task, ending_in_one_sentence, progress_bars
from maquette.cli.common import fail

app = typer.Typer()

NAMES = ", ".join(PARTS)


@app.callback(invoke_without_command=True)
def main(
    called: typer.Context,
    only: Annotated[
        str, typer.Option(help=f"Parts to measure, with commas between them: {NAMES}.")
    ] = "",
    short: Annotated[
        bool,
        typer.Option(
            "--short", help="A little of everything: see that it works, in a few minutes."
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of report.json and the plots.")] = Path(
        "out/bench"
    ),
) -> None:
    """Measure the performance of the served stack on this machine, in about 25 minutes.

    Starts a stack of its own over what is exported, with default settings. Every figure is a ratio
    against something measured beside it in the same run, so noise of the machine counts for both.
    Ends with 1 when a bar is missed; what was not measured is not missed.

        python -m bench                      everything
        python -m bench --only join,cancel   these parts
        python -m bench perf                 single models, with NVIDIA's perf_analyzer
    """
    if called.invoked_subcommand:
        return
    effort = SHORT if short else FULL
    with ending_in_one_sentence():
        found = _measured(_chosen(only), effort, out)
    Console().print(table(found, BARS, WITHOUT_BARS), *report.loads(found))
    if any(missed(found, BARS)):
        raise typer.Exit(1)


@app.command()
def perf(
    out: Annotated[Path, typer.Option(help="Folder of requests, tables and logs.")] = Path(
        "out/perf"
    ),
) -> None:
    """Measure single models and whole renders with NVIDIA's perf_analyzer, fetched if needed."""
    from bench.perf import measure

    with ending_in_one_sentence():
        out.mkdir(parents=True, exist_ok=True)
        with _stack() as running, progress_bars() as task:
            rows = measure(running, out, task)
    Console().print(rows, f"tables and logs are in {out}", highlight=False)


def _measured(parts: list[str], effort: Effort, out: Path) -> dict[str, Any]:
    """The report of `parts`, written to `out` with its plots."""
    from bench import plots

    out.mkdir(parents=True, exist_ok=True)
    # The report of a run before must not stand there when this one breaks off.
    (out / report.FILE).unlink(missing_ok=True)
    with _stack() as running, progress_bars() as task:
        found = asyncio.run(_run(parts, running, effort, task))
        facts = machine.facts(running.triton)
    found = report.finished(found, effort.name, parts, facts)
    report.write(found, out)
    for path in (out / report.FILE, *plots.write(found, out)):
        Console().print(f"wrote {path}", highlight=False)
    return found


async def _run(
    parts: list[str], running: stack.Stack, effort: Effort, task: Task
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with context(running, effort, task) as bench:
        for name in bench.each("parts", parts):
            found |= await PARTS[name](bench)
    return found


def _chosen(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise fail(f"--only has {', '.join(unknown)}; allowed: {NAMES}.")
    return [name for name in PARTS if name in names or not names]


@contextmanager
def _stack() -> Iterator[stack.Stack]:
    with TemporaryDirectory(prefix="maquette-bench-") as folder:
        console, held = Console(stderr=True), ExitStack()
        with console.status("starting the stack"):
            running = held.enter_context(stack.running(Path(folder)))
        try:
            yield running
        finally:
            with console.status("stopping the stack"):
                held.close()


if __name__ == "__main__":
    app()
