"""``maquette models gate``: a candidate beside the champion."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from maquette.cli.common import Gateway, on_gateway
from maquette.cli.models.options import (
    DECLINED,
    HERE,
    AsJson,
    Model,
    Repository,
    Who,
    Why,
    ends,
    print_json,
    progress,
    say,
)
from pipeline.errors import Unavailable
from versions import catalogue, operations
from versions.gates import LEAST_RENDERS, Verdict
from versions.repositories import opened


@on_gateway
def gate(
    gateway: Gateway,
    model: Model,
    who: Who,
    thresholds: Annotated[
        Path | None, typer.Option(help="TOML file of what must be met; the bundled one otherwise.")
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Folder of scenes of your own; the bundled ones otherwise.")
    ] = None,
    renders: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="At most so many scenes; all of them otherwise. Promoting asks for a verdict on "
            f"{LEAST_RENDERS} at least.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and its pictures.")] = Path(
        "out/gate"
    ),
    repository: Repository = HERE,
    why: Why = "",
    as_json: AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Paint and compare, but keep no verdict.")
    ] = False,
) -> None:
    """Paint the golden set with the candidate and the champion, and compare them.

    The gateway at --server must run over the repository. Ends with 3 when the candidate is worse
    than the thresholds allow; the report says where.
    """
    with ends(as_json):
        at = opened(repository)
        with progress() as report:
            at.pull(report)
        candidate = catalogue.find(at.folder, model, "candidate").version
        judge = _judge()
        with operations.gating(at.folder, model, who):
            verdict: Verdict = judge.main(
                at.folder,
                gateway.server,
                gateway.api_key,
                gateway.ca,
                gateway.tls,
                model,
                candidate,
                thresholds,
                golden,
                out,
                renders or judge.RENDERS,
            )
        said: tuple[str, ...] = (f"{model} {candidate} was at its gate; nothing is kept.",)
        if not dry_run:
            said = at.change(
                lambda folder: operations.record_gate(
                    folder, verdict, model=model, who=who, why=why
                ),
                patient=True,
            ).said
        if as_json:
            print_json({**asdict(verdict), "said": said})
        else:
            for sentence in (*said, *verdict.missed, f"The report: {verdict.report}"):
                say(sentence)
    if not verdict.passed:
        raise typer.Exit(DECLINED)


def _judge() -> ModuleType:
    """What measures pictures, which is not installed wherever versions are changed."""
    try:
        return importlib.import_module("evaluation.gate")
    except ImportError as error:
        raise Unavailable(
            f"A gate measures pictures, which cannot be done here ({error}). Run it from a "
            "checkout of maquette, with --repository and --server."
        ) from error
