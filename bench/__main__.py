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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tritonclient.utils import InferenceServerException

from bench import machine, report, stack
from bench.bars import missed
from bench.context import context
from bench.effort import FULL, SHORT, Effort
from bench.parts import PARTS
from maquette.cli.common import fail
from maquette.cli.up import ends_on_signal
from maquette.client import CallFailed
from pipeline.errors import MaquetteError

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
    with _in_one_sentence():
        found = _measured(_chosen(only), effort, out)
    console = Console()
    console.print(report.verdicts(found), *report.loads(found))
    if any(missed(found)):
        raise typer.Exit(1)


@app.command()
def perf(
    out: Annotated[Path, typer.Option(help="Folder of requests, tables and logs.")] = Path(
        "out/perf"
    ),
) -> None:
    """Measure single models and whole renders with NVIDIA's perf_analyzer, fetched if needed."""
    from bench.perf import measure

    with _in_one_sentence():
        out.mkdir(parents=True, exist_ok=True)
        with _stack() as running, _progress() as progress:
            table = measure(running, out, progress)
    Console().print(table, f"tables and logs are in {out}", highlight=False)


def _measured(parts: list[str], effort: Effort, out: Path) -> dict[str, Any]:
    """The report of `parts`, written to `out` with its plots."""
    from bench import plots

    out.mkdir(parents=True, exist_ok=True)
    # The report of a run before must not stand there when this one breaks off.
    (out / report.FILE).unlink(missing_ok=True)
    found: dict[str, Any] = {}
    # One loop for all parts: gRPC's threads still wake the first one that there was.
    with asyncio.Runner() as loop, _stack() as running, _progress() as progress:
        bench = context(running, effort, progress)
        task = progress.add_task("", total=len(parts))
        for name in parts:
            progress.update(task, description=PARTS[name].what)
            found |= loop.run(PARTS[name].measure(bench))  # type: ignore[arg-type]
            progress.advance(task)
        facts = machine.facts(running.triton)
    found = report.finished(found, effort.name, parts, facts)
    report.write(found, out)
    for path in (out / report.FILE, *plots.write(found, out)):
        Console().print(f"wrote {path}", highlight=False)
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


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield progress


@contextmanager
def _in_one_sentence() -> Iterator[None]:
    """Whatever goes wrong ends everything, and is told in one sentence."""
    try:
        with ends_on_signal():
            yield
    except (MaquetteError, CallFailed, InferenceServerException, OSError) as error:
        raise fail(error) from error
    except KeyboardInterrupt as error:
        raise fail("interrupted; everything is stopped") from error


if __name__ == "__main__":
    app()
