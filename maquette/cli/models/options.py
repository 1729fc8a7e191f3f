"""What the commands of ``maquette models`` take, and how they end."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from maquette.cli.common import console, errors, plain
from maquette.client import CallFailed
from maquette.paths import MODEL_REPOSITORY
from pipeline.errors import InvalidRequest, MaquetteError
from versions.canary import Canary
from versions.catalogue import MODELS
from versions.changes import Outcome
from versions.errors import Busy, Declined
from versions.manifest import Report
from versions.repositories import opened

FAILED, USAGE, DECLINED, BUSY = 1, 2, 3, 4
Found = TypeVar("Found")


def login() -> str:
    """Who is logged in here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container, the number of the user may have no name.
        return str(os.getuid())


Model = Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.")]
Repository = Annotated[
    str,
    typer.Option(
        envvar="MAQUETTE_REPOSITORY", help="The model repository: a folder, or s3://bucket/prefix."
    ),
]
HERE = str(MODEL_REPOSITORY)
"""The model repository of this checkout."""
AsJson = Annotated[bool, typer.Option("--json", help="Tell it as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Without a passed gate. Needs --why.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")]
Why = Annotated[str, typer.Option(help="The reason; the history keeps it.")]
Who = Annotated[
    str,
    typer.Option(
        envvar="MAQUETTE_OPERATOR",
        default_factory=login,
        help="Who does it; the history keeps it.",
        show_default="the login name",
    ),
]


def looked_at(location: str, look: Callable[[Path], Found]) -> Found:
    """What `look` finds in the repository at `location`, as that is now; no engine is fetched."""
    return opened(location).change(look, dry_run=True)


def tell(
    outcome: Outcome,
    dry_run: bool,
    as_json: bool,
    ask: Callable[[], tuple[bool | None, str]] | None,
) -> None:
    """Say what was done, and whether a running gateway serves it; one that cannot is a failure."""
    said = list(outcome.said)
    serves: bool | None = None
    if not as_json:
        for sentence in said:
            say(sentence)
    if ask and outcome.changed:
        serves, sentence = ask()
        said.append(sentence)
        if not as_json:
            say(sentence)
    if as_json:
        facts = {**asdict(outcome), "said": said}
        print_json({**facts, "dry_run": dry_run, "gateway_serves": serves})
    if serves is False:
        raise typer.Exit(FAILED)


@contextmanager
def ends(as_json: bool) -> Iterator[None]:
    """What goes wrong in the block is one plain line, and an exit code that says of what kind."""
    try:
        yield
    except (MaquetteError, CallFailed, OSError) as error:
        code = _code_of(error)
        if as_json:
            print_json({"failed": _in_options(error), "exit_code": code})
        sentence = f"maquette: {plain(_in_options(error))}"
        errors.print(sentence, style="red", markup=False, highlight=False)
        raise typer.Exit(code) from error


def _in_options(error: Exception) -> str:
    """What went wrong, with the fields that every door has called as the options that set them."""
    return re.sub("`(force|why)`", r"--\1", str(error))


def _code_of(error: Exception) -> int:
    codes = {Declined: DECLINED, Busy: BUSY, InvalidRequest: USAGE}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED)


@contextmanager
def progress() -> Iterator[Report]:
    """A bar on standard error, which goes when all is done."""
    watched = errors.is_terminal
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=not watched) as progress:
        task = progress.add_task("", total=None)

        def report(doing: str, done: int, total: int) -> None:
            progress.update(task, description=doing, completed=done, total=total or None)

        yield report


def say(sentence: str) -> None:
    """Tell it on a line of its own."""
    console.print(plain(sentence), markup=False, highlight=False, soft_wrap=True)


def print_json(found: object) -> None:
    """Tell it to a program."""
    typer.echo(json.dumps(found, indent=2))


def canary_words(found: Canary) -> str:
    """Its shares, for people."""
    return f"share {found.share:.0%}, shadow {found.shadow:.0%}"
