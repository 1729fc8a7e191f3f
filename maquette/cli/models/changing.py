"""Commands that change versions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from maquette.cli.common import Gateway, on_gateway
from maquette.cli.following import follows
from maquette.cli.models.options import (
    HERE,
    AsJson,
    DryRun,
    Force,
    Model,
    Repository,
    Who,
    Why,
    canary_words,
    ends,
    looked_at,
    print_json,
    progress,
    say,
    tell,
)
from pipeline.errors import InvalidRequest
from versions import aliases, canary, catalogue, operations, repositories
from versions.canary import Bounds, Canary
from versions.catalogue import MODELS
from versions.changes import Outcome
from versions.operations import WITHDRAWN
from versions.repositories import LocalRepository, ObjectStoreRepository, opened


@on_gateway
def publish(
    gateway: Gateway,
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            help="A version's folder, or a repository that `maquette export` wrote; or where one "
            "lies: s3://bucket/prefix, or in MLflow models:/name/3, models:/name@alias."
        ),
    ],
    who: Who,
    repository: Repository = HERE,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make an engine the next version, and the candidate.

    Make one with `maquette export --pack NEW --repository FOLDER`. Before Triton hears of it, its
    files are held against its manifest, its tensors against the contract, and it is run beside the
    champion, in a process of its own.
    """
    with ends(as_json), progress() as report:
        at = opened(repository)
        outcome = repositories.publish(
            at, model, source, who=who, why=why, dry_run=dry_run, report=report
        )
    tell(outcome, dry_run, as_json, lambda: follows(outcome, "candidate", at, gateway))


@on_gateway
def promote(
    gateway: Gateway,
    model: Model,
    who: Who,
    version: Annotated[
        int | None, typer.Argument(help="A number; the candidate otherwise.", min=1)
    ] = None,
    force: Force = False,
    expect: Annotated[
        int | None,
        typer.Option(min=1, help="Only if this version is the champion until then."),
    ] = None,
    repository: Repository = HERE,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the candidate the champion, once it passed its gate.

    Renders in flight end with the versions that they began with; those that begin from then on are
    made with the new one.
    """
    with ends(as_json), progress() as report:
        at = opened(repository)
        expected = expect or _champion(at, model)
        outcome = at.change(
            lambda folder: operations.promote(
                folder,
                model,
                version,
                who=who,
                why=why,
                force=force,
                expected=expected,
                dry_run=dry_run,
            ),
            dry_run=dry_run,
            report=report,
        )
    tell(outcome, dry_run, as_json, lambda: follows(outcome, "champion", at, gateway))


@on_gateway
def rollback(
    gateway: Gateway,
    model: Model,
    who: Who,
    expect: Annotated[
        int | None, typer.Option(min=1, help="Only if this version is the champion until then.")
    ] = None,
    repository: Repository = HERE,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the previous version the champion again; the champion becomes the previous one.

    It is loaded all the time, so that this takes seconds, and the same seed gives the same picture
    as before.
    """
    with ends(as_json), progress() as report:
        at = opened(repository)
        outcome = at.change(
            lambda folder: operations.rollback(
                folder, model, who=who, why=why, expected=expect, dry_run=dry_run
            ),
            dry_run=dry_run,
            report=report,
        )
    tell(outcome, dry_run, as_json, lambda: follows(outcome, "champion", at, gateway))


@on_gateway
def retire(
    gateway: Gateway,
    model: Model,
    version: Annotated[
        str, typer.Argument(help="A number; or candidate or previous, to take that name away.")
    ],
    who: Who,
    repository: Repository = HERE,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a version's files, or take from it the name that keeps it loaded.

    A version with a name (champion, candidate, previous) is kept: `retire unet candidate` takes the
    name away, and `retire unet 4` then removes its files. Its number is never given again.
    """
    with ends(as_json), progress() as report:
        options: dict[str, Any] = {"who": who, "why": why, "dry_run": dry_run}

        def gone(folder: Path) -> Outcome:
            if version in WITHDRAWN:
                return operations.withdraw(folder, model, version, **options)
            return operations.retire(folder, model, catalogue.number_of(version), **options)

        at = opened(repository)
        outcome = at.change(gone, dry_run=dry_run, report=report)
    # No gateway holds what had no name.
    ask = (lambda: follows(outcome, "champion", at, gateway)) if version in WITHDRAWN else None
    tell(outcome, dry_run, as_json, ask)


def set_canary(
    who: Who,
    share: Annotated[
        float | None,
        typer.Argument(
            help="Of the renders that the candidate makes, 0 to less than 1; 0 ends it. Needs a "
            "passed gate."
        ),
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
    force: Force = False,
    repository: Repository = HERE,
    why: Why = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Try the candidate on a share of what people ask for; without a share, show how it is tried.

    The gateway calls it off by itself when the candidate is outside of the bounds. How many renders
    were made by each, GET /v1/versions of a gateway says, and the history when it is over.
    """
    if share is None and not shadow:
        with ends(as_json):
            found = looked_at(repository, canary.read)
        said = f"The canary is on: {canary_words(found)}." if found.is_on else "No canary is on."
        if as_json:
            print_json({"said": [said], **asdict(found)})
        else:
            say(said)
        return
    with ends(as_json), progress() as report:
        bounds = Bounds(max_error_share, max_latency_ratio, max_structure_loss, least_renders)
        wanted = Canary(share or 0.0, shadow, bounds, who, why)
        outcome = opened(repository).change(
            lambda folder: operations.set_canary(folder, wanted, force=force, dry_run=dry_run),
            dry_run=dry_run,
            report=report,
        )
    tell(outcome, dry_run, as_json, None)


def upload(
    who: Who,
    source: Annotated[
        str, typer.Argument(metavar="FOLDER", help="The repository that is put there.")
    ] = HERE,
    repository: Repository = "",
    as_json: AsJson = False,
) -> None:
    """Put an exported repository into an object store: its versions, aliases and history.

    --repository names the place, s3://bucket/prefix, which must be empty. From then on every
    command, and `maquette up`, takes that for its --repository; the folder is no longer needed.
    AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION say how to get there.
    """
    with ends(as_json), progress() as report:
        at = opened(repository)
        if not isinstance(at, ObjectStoreRepository):
            raise InvalidRequest(
                "--repository", repository, "s3://bucket/prefix", "Name a place in a store."
            )
        size = at.fill(Path(source), who, report)
    if as_json:
        print_json({"repository": repository, "bytes": size})
    else:
        say(f"{source} is in {repository} now, {size / 1e6:,.1f} MB.")


def _champion(at: repositories.Repository, model: str) -> int | None:
    """The champion that is to be followed, as far as who asks can know it."""
    # A store sees by itself whether anything changed meanwhile.
    if not isinstance(at, LocalRepository) or model not in MODELS:
        return None
    return aliases.read(at.folder).of(model).champion
