"""Commands that look at versions and change nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from maquette.cli import version_tables
from maquette.cli.common import console, print_facts
from maquette.cli.models.options import (
    HERE,
    AsJson,
    Model,
    Repository,
    canary_words,
    ends,
    looked_at,
    print_json,
    say,
)
from versions import canary, catalogue, differences, history
from versions.canary import Canary
from versions.catalogue import MODELS, Version, versions_of


def list_versions(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Of this one only.")
    ] = None,
    repository: Repository = HERE,
    as_json: AsJson = False,
) -> None:
    """List every version, what it is used as, and what it was made of."""
    with ends(as_json):
        models = [model] if model else MODELS

        def look(folder: Path) -> tuple[list[Version], Canary]:
            versions = [version for name in models for version in versions_of(folder, name)]
            return versions, canary.read(folder)

        found, tried = looked_at(repository, look)
        if as_json:
            print_json([asdict(version) for version in found])
            return
        console.print(version_tables.table_of(found))
        for version in found:
            if version.problem:
                say(version.problem)
        if tried.is_on:
            say(f"A canary is on: {canary_words(tried)}, since {tried.since}, by {tried.who}.")


def show(
    model: Model,
    version: Annotated[str, typer.Argument(help="A number, or an alias.")] = "champion",
    repository: Repository = HERE,
    as_json: AsJson = False,
) -> None:
    """Show what a version is: its manifest, and what was done with it."""
    with ends(as_json):
        found, entries = looked_at(
            repository,
            lambda folder: (catalogue.find(folder, model, version), history.read(folder)),
        )
        done = [
            entry
            for entry in entries
            if entry.model == model and found.version in {entry.from_version, entry.to_version}
        ]
        if as_json:
            print_json({**asdict(found), "history": [asdict(entry) for entry in done]})
            return
        title = {"model": model, "version": found.version, "is": version_tables.names_of(found)}
        print_facts(title | differences.facts_of(found))
        if found.problem:
            say(found.problem)
        if done:
            console.print(version_tables.history_table(done))


def diff(
    model: Model,
    one: Annotated[str, typer.Argument(help="A number, or an alias.")] = "champion",
    other: Annotated[str, typer.Argument(help="A number, or an alias.")] = "candidate",
    repository: Repository = HERE,
    as_json: AsJson = False,
) -> None:
    """Show where two versions differ: the candidate from the champion, unless said otherwise."""
    with ends(as_json):
        found = looked_at(
            repository, lambda folder: differences.compared(folder, model, one, other)
        )
        if as_json:
            print_json(asdict(found))
        else:
            console.print(version_tables.difference_table(model, found))


def show_history(
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Of this one only.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    repository: Repository = HERE,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, when and why, the newest last."""
    with ends(as_json):
        if model:
            catalogue.members(model)
        entries = [
            entry
            for entry in looked_at(repository, history.read)
            if not model or model in entry.model.split()
        ][-limit:]
        if as_json:
            print_json([asdict(entry) for entry in entries])
            return
        console.print(version_tables.history_table(entries))
