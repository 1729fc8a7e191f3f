"""The exporter's command, as ``python -m export`` and ``maquette export``."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from export.asked import Build, Target, Wanted
from export.files import PackError
from export.managed import described, require_unmanaged
from export.quiet import quiet_libraries
from maquette.paths import IS_CHECKOUT, ROOT
from pipeline.errors import MaquetteError
from versions.catalogue import is_managed, members

if TYPE_CHECKING:
    from export.engines import Outcome

DEVELOPMENT = ROOT / ".venv-dev" / "bin"
"""Of the environment that `make setup` makes for exports."""


def has_torch() -> bool:
    """Whether this environment can export; says on standard error how to get one that can."""
    if importlib.util.find_spec("torch") is not None:
        return True
    print(
        f"export: the environment {sys.prefix} serves, and has no torch. "
        f"{_remedy(sys.orig_argv[1:])}",
        file=sys.stderr,
    )
    return False


def _remedy(words: list[str]) -> str:
    """How to run Python with `words` where there is torch."""
    if not IS_CHECKOUT:
        return "Install maquette[export] in it, or in another."
    script = Path(words[0]).name == "maquette"
    program, rest = ("maquette", words[1:]) if script else ("python", words)
    setup = "" if DEVELOPMENT.exists() else f"make -C {shlex.quote(str(ROOT))} setup && "
    return f"Run `{setup}{shlex.join([str(DEVELOPMENT / program), *rest])}`."


def run(
    wanted: Wanted, target: Target, build: Build, *, force: bool = False, keep: bool = False
) -> int:
    """Find or make the pack, export it to `target`, and show a table of what was built.

    Args:
        keep: leave a repository whose versions are managed as it is, and say so.

    Returns:
        0 when every network passed; 1 when one did not, or the pack cannot be used; 130 when it was
        interrupted.
    """
    outcomes: list[Outcome] = []
    try:
        if keep and is_managed(target.repository):
            print(f"export: {described(target.repository)}, and stay as they are.")
            return 0
        if target.candidates is None:
            require_unmanaged(target.repository)
        said = _export(wanted, target, build, outcomes, force=force)
    except (PackError, MaquetteError, OSError) as error:
        print(f"export: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        kept = ", ".join(outcome.network for outcome in outcomes) or "nothing yet"
        print(f"export: interrupted. Kept: {kept}. The same command goes on.", file=sys.stderr)
        return 130
    for sentence in said:
        print(sentence)
    return 0 if all(outcome.parity.passed for outcome in outcomes) else 1


def _export(
    wanted: Wanted, target: Target, build: Build, outcomes: list[Outcome], *, force: bool
) -> list[str]:
    """Do it, and gather `outcomes`; gives what is to be said of candidates."""
    quiet_libraries()
    from export.checkpoints.assemble import assemble
    from export.checkpoints.find import find, pack_folder
    from export.engines import export_pack
    from export.pack import Pack
    from export.publishing import models_to_publish, publish

    console = Console()
    said: list[str] = []
    # Downloads show bars of their own, so they come first.
    found = find(wanted)
    with _progress(console) as report:
        pack = found if isinstance(found, Pack) else assemble(found, pack_folder(wanted), report)
        folder, only = target.repository, target.only
        candidates, models = target.candidates, []
        if candidates:
            models = models_to_publish(pack, target.repository, build, only)
            folder = candidates.folder / pack.folder.name
            only = tuple(network for model in models for network in members(model))
        if only or not candidates:
            for outcome in export_pack(pack, folder, build, force=force, only=only, report=report):
                outcomes.append(outcome)
        if candidates and all(outcome.parity.passed for outcome in outcomes):
            published = publish(
                models, folder, target.repository, candidates.who, candidates.why, report
            )
            said = [sentence for done in published for sentence in done.said]
    _show(console, f"{pack.folder}: {build.engine}, {build.precision}", outcomes)
    if candidates and not models:
        said = [f"Every network that was asked for is the champion in {target.repository} already."]
    return said


def _show(console: Console, title: str, outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.fused:
            counted = ", ".join(f"{n} {name}" for name, n in sorted(outcome.fused.items()))
            console.print(f"fused in {outcome.network}: {counted}", highlight=False)
    if outcomes:
        console.print(_table(title, outcomes))


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
