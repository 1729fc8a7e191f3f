"""``maquette models``: versions of networks, from publishing one to retiring it."""

from __future__ import annotations

import getpass
import importlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

from maquette.cli import reembedding, version_tables
from maquette.cli.common import (
    DEFAULT_SERVER,
    ApiKey,
    Ca,
    Server,
    Tls,
    console,
    errors,
    plain,
    print_facts,
)
from maquette.cli.following import follows
from maquette.client import CallFailed
from maquette.paths import MODEL_REPOSITORY
from pipeline.errors import InvalidRequest, MaquetteError, NotFound, Unavailable
from versions import aliases, canary, catalogue, history, operations
from versions.aliases import PAIR
from versions.canary import Bounds, Canary
from versions.catalogue import MODELS, Version, no_version, versions_of
from versions.errors import Busy, Declined
from versions.gates import Verdict
from versions.operations import WITHDRAWN, Outcome

FAILED, USAGE, DECLINED, BUSY = 1, 2, 3, 4
HELP = """Publish versions of networks, gate them, promote them and roll back, while renders go on.

A version never changes once it is there. Three names point at versions of each network: the
champion makes renders, the candidate waits for its gate, the previous one is what a roll-back
returns to. A new UNet takes three commands:

  maquette models publish unet FOLDER   checks it and makes it the candidate

  maquette models gate unet             paints the golden set with it and the champion

  maquette models promote unet          makes it the champion, if it passed

and `maquette models rollback unet` takes that back within seconds. MODEL is one of the networks
that paint, or clip for the pair that finds styles.

Ends with 0 when it is done, 1 when it failed, 2 for a wrong option, 3 when it was refused (a bad
engine, a gate that was not passed), 4 when somebody else changes versions at the same time.
"""


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container, the number of the user may have no name.
        return str(os.getuid())


app = typer.Typer(help=HELP, no_args_is_help=True)

Model = Annotated[str, typer.Argument(metavar="MODEL", help=f"One of {', '.join(MODELS)}.")]
Repository = Annotated[
    Path, typer.Option(envvar="MAQUETTE_REPOSITORY", help="The model repository.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Tell it as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and change nothing.")]
Why = Annotated[str, typer.Option(help="The reason; the history keeps it.")]
Who = Annotated[
    str,
    typer.Option(
        envvar="MAQUETTE_OPERATOR",
        default_factory=_login,
        help="Who does it; the history keeps it.",
        show_default="the login name",
    ),
]


@app.command("list")
def list_versions(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Of this one only.")
    ] = None,
    repository: Repository = MODEL_REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """List every version, what it is used as, and what it was made of."""
    with _ends(as_json):
        found = [
            version
            for name in ([model] if model else MODELS)
            for version in versions_of(repository, name)
        ]
        if as_json:
            _print_json([version_tables.facts_of(version) for version in found])
            return
        console.print(version_tables.table_of(found))
        for version in found:
            if version.problem:
                _say(version.problem)
        tried = canary.read(repository)
        if tried.is_on:
            _say(f"A canary is on: {_canary_words(tried)}, since {tried.since}, by {tried.who}.")


@app.command()
def show(
    model: Model,
    version: Annotated[str, typer.Argument(help="A number, or an alias.")] = "champion",
    repository: Repository = MODEL_REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """Show what a version is: its manifest, and what was done with it."""
    with _ends(as_json):
        found = _find(repository, model, version)
        done = [
            entry
            for entry in history.read(repository)
            if entry.model == model and found.version in {entry.from_version, entry.to_version}
        ]
        if as_json:
            facts = version_tables.facts_of(found)
            _print_json(facts | {"history": [entry.to_dict() for entry in done]})
            return
        title = {"model": model, "version": found.version, "is": version_tables.names_of(found)}
        print_facts(title | version_tables.flat(found))
        if found.problem:
            _say(found.problem)
        if done:
            console.print(version_tables.history_table(done))


@app.command()
def diff(
    model: Model,
    one: Annotated[str, typer.Argument(help="A number, or an alias.")] = "champion",
    other: Annotated[str, typer.Argument(help="A number, or an alias.")] = "candidate",
    repository: Repository = MODEL_REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """Show where two versions differ: the candidate from the champion, unless said otherwise."""
    with _ends(as_json):
        pair = [_find(repository, model, name) for name in (one, other)]
        if as_json:
            found = version_tables.differences(*pair)
            _print_json({name: [first, second] for name, first, second in found})
            return
        console.print(version_tables.difference_table(*pair))


@app.command()
def publish(
    model: Model,
    source: Annotated[
        Path,
        typer.Argument(help="A version's folder, or a repository that `maquette export` wrote."),
    ],
    who: Who,
    repository: Repository = MODEL_REPOSITORY,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Make an engine the next version, and the candidate.

    Make one with `maquette export --pack NEW --repository FOLDER`. Before Triton hears of it, its
    files are held against its manifest, its tensors against the contract, and it is run beside the
    champion, in a process of its own.
    """
    with _ends(as_json), _progress() as report:
        outcome = operations.publish(
            repository, model, source, who=who, why=why, dry_run=dry_run, report=report
        )
    _tell(outcome, dry_run, as_json, lambda: follows(repository, server, api_key, ca, tls))


@app.command()
def gate(
    model: Model,
    who: Who,
    thresholds: Annotated[
        Path | None, typer.Option(help="TOML file of what must be met; the bundled one otherwise.")
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Folder of scenes of your own; the bundled ones otherwise.")
    ] = None,
    renders: Annotated[
        int | None, typer.Option(min=1, help="At most so many scenes; all of them otherwise.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and its pictures.")] = Path(
        "out/gate"
    ),
    repository: Repository = MODEL_REPOSITORY,
    why: Why = "",
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Paint and compare, but keep no verdict.")
    ] = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Paint the golden set with the candidate and the champion, and compare them.

    The gateway at --server must run over the repository. Ends with 3 when the candidate is worse
    than the thresholds allow; the report says where.
    """
    with _ends(as_json):
        candidate = _find(repository, model, "candidate").version
        judge = _judge()
        verdict: Verdict = judge.main(
            repository,
            server,
            api_key,
            ca,
            tls,
            model,
            candidate,
            thresholds,
            golden,
            out,
            renders or judge.RENDERS,
        )
        outcome = Outcome((f"{model} {candidate} was at its gate; nothing is kept.",), False)
        if not dry_run:
            outcome = operations.record_gate(repository, verdict, model=model, who=who, why=why)
        if as_json:
            told = {"said": outcome.said, "passed": verdict.passed, "line_up": verdict.line_up}
            kept = {"measures": verdict.measures, "missed": verdict.missed}
            _print_json({**told, **kept, "report": verdict.report})
        else:
            for sentence in (*outcome.said, *verdict.missed, f"The report: {verdict.report}"):
                _say(sentence)
    if not verdict.passed:
        raise typer.Exit(DECLINED)


@app.command()
def promote(
    model: Model,
    who: Who,
    version: Annotated[
        int | None, typer.Argument(help="A number; the candidate otherwise.", min=1)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Without a passed gate. Needs --why.")
    ] = False,
    expect: Annotated[
        int | None,
        typer.Option(min=1, help="Only if this version is the champion until then."),
    ] = None,
    repository: Repository = MODEL_REPOSITORY,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Make the candidate the champion, once it passed its gate.

    Renders in flight end with the versions that they began with; those that begin from then on are
    made with the new one.
    """
    with _ends(as_json):
        before = aliases.read(repository).of(model) if model in MODELS else None
        outcome = operations.promote(
            repository,
            model,
            version,
            who=who,
            why=why,
            force=force,
            expected=expect or (before.champion if before else None),
            dry_run=dry_run,
        )
    _tell(outcome, dry_run, as_json, lambda: follows(repository, server, api_key, ca, tls))


@app.command()
def rollback(
    model: Model,
    who: Who,
    expect: Annotated[
        int | None, typer.Option(min=1, help="Only if this version is the champion until then.")
    ] = None,
    repository: Repository = MODEL_REPOSITORY,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Make the previous version the champion again; the champion becomes the previous one.

    It is loaded all the time, so that this takes seconds, and the same seed gives the same picture
    as before.
    """
    with _ends(as_json):
        outcome = operations.rollback(
            repository, model, who=who, why=why, expected=expect, dry_run=dry_run
        )
    _tell(outcome, dry_run, as_json, lambda: follows(repository, server, api_key, ca, tls))


@app.command()
def retire(
    model: Model,
    version: Annotated[
        str, typer.Argument(help="A number; or candidate or previous, to take that name away.")
    ],
    who: Who,
    repository: Repository = MODEL_REPOSITORY,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Remove a version's files, or take from it the name that keeps it loaded.

    A version with a name (champion, candidate, previous) is kept: `retire unet candidate` takes the
    name away, and `retire unet 4` then removes its files. Its number is never given again.
    """
    with _ends(as_json):
        options: dict[str, Any] = {"who": who, "why": why, "dry_run": dry_run}
        if version in WITHDRAWN:
            outcome = operations.withdraw(repository, model, version, **options)
        else:
            outcome = operations.retire(repository, model, _number(version), **options)
    # No gateway holds what had no name.
    ask = (lambda: follows(repository, server, api_key, ca, tls)) if version in WITHDRAWN else None
    _tell(outcome, dry_run, as_json, ask)


@app.command("canary")
def set_canary(
    who: Who,
    share: Annotated[
        float | None,
        typer.Argument(help="Of the renders that the candidate makes, 0 to 1; 0 ends it."),
    ] = None,
    shadow: Annotated[
        float, typer.Option(help="Of the renders that it makes once more, unseen, 0 to 1.")
    ] = 0.0,
    max_error_share: Annotated[
        float, typer.Option(help="Of its renders that may fail.")
    ] = Bounds.max_error_share,
    max_latency_ratio: Annotated[
        float, typer.Option(help="Its seconds for a render over the champion's.")
    ] = Bounds.max_latency_ratio,
    max_structure_loss: Annotated[
        float, typer.Option(help="How far its structure F1 may be below the champion's.")
    ] = Bounds.max_structure_loss,
    least_renders: Annotated[
        int, typer.Option(help="Of each, before anything is concluded.")
    ] = Bounds.least_renders,
    repository: Repository = MODEL_REPOSITORY,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Try the candidate on a share of what people ask for; without a share, say how it is tried.

    The gateway calls it off by itself when the candidate is outside of the bounds.
    """
    with _ends(as_json):
        if share is None and not shadow:
            found = canary.read(repository)
            said = (
                f"The canary is on: {_canary_words(found)}." if found.is_on else "No canary is on."
            )
            outcome = Outcome((said,), False)
        else:
            bounds = Bounds(max_error_share, max_latency_ratio, max_structure_loss, least_renders)
            wanted = Canary(share or 0.0, shadow, bounds, who, why)
            outcome = operations.set_canary(repository, wanted, dry_run=dry_run)
    _tell(outcome, dry_run, as_json, None)


@app.command("history")
def show_history(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Of this one only.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    repository: Repository = MODEL_REPOSITORY,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why, the newest last."""
    with _ends(as_json):
        if model:
            catalogue.members(model)
        entries = [
            entry for entry in history.read(repository) if not model or model in entry.model.split()
        ][-limit:]
        if as_json:
            _print_json([entry.to_dict() for entry in entries])
            return
        console.print(version_tables.history_table(entries))


def _judge() -> ModuleType:
    """What measures pictures, which is not installed wherever versions are changed."""
    try:
        return importlib.import_module("evaluation.gate")
    except ImportError as error:
        raise Unavailable(
            f"A gate measures pictures, which cannot be done here ({error}). Run it from a "
            "checkout of maquette, with --repository and --server."
        ) from error


app.command()(reembedding.reembed)


def _find(repository: Path, model: str, name: str) -> Version:
    """The version of `model` that `name`, a number or an alias, stands for."""
    versions = versions_of(repository, model)
    if name in aliases.NAMES:
        found = next((version for version in versions if name in version.aliases), None)
        if found is None:
            raise NotFound(f"{model} has no {name} version. `maquette models list` shows them.")
        return found
    number = _number(name)
    found = next((version for version in versions if version.version == number), None)
    if found is None:
        raise NotFound(no_version(repository, model, number))
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        allowed = f"a number, or {', '.join(aliases.NAMES)}"
        raise InvalidRequest("VERSION", text, allowed, "`maquette models list` shows them.")
    return int(text)


def _canary_words(found: Canary) -> str:
    return f"share {found.share:.0%}, shadow {found.shadow:.0%}"


def _tell(
    outcome: Outcome,
    dry_run: bool,
    as_json: bool,
    ask: Callable[[], tuple[bool, str]] | None,
) -> None:
    """Say what was done, and whether a running gateway serves it."""
    said = list(outcome.said)
    serves: bool | None = None
    if not as_json:
        for sentence in said:
            _say(sentence)
    if ask and outcome.changed and not dry_run:
        serves, sentence = ask()
        if serves and outcome.model == PAIR:
            # A gateway tells line-ups, and the pair is in none.
            serves, sentence = None, "The gateway loads the pair, and searches with it then."
        said.append(sentence)
        if not as_json:
            _say(sentence)
    if as_json:
        facts = {"changed": outcome.changed, "dry_run": dry_run, "said": said}
        what = {"model": outcome.model, "version": outcome.version, "champion": outcome.serving}
        _print_json({**facts, **what, "gateway_serves": serves})


@contextmanager
def _ends(as_json: bool) -> Iterator[None]:
    """What goes wrong in the block is one plain line, and an exit code that says of what kind."""
    try:
        yield
    except (MaquetteError, CallFailed, OSError) as error:
        code = _code_of(error)
        if as_json:
            _print_json({"failed": str(error), "exit_code": code})
        errors.print(f"maquette: {plain(error)}", style="red", markup=False, highlight=False)
        raise typer.Exit(code) from error


def _code_of(error: Exception) -> int:
    codes = {Declined: DECLINED, Busy: BUSY, InvalidRequest: USAGE}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), FAILED)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
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


def _say(sentence: str) -> None:
    console.print(plain(sentence), markup=False, highlight=False, soft_wrap=True)


def _print_json(found: object) -> None:
    typer.echo(json.dumps(found, indent=2))
