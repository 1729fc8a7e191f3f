"""``maquette styles``: the style library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from rich.table import Table

from maquette.cli.common import (
    Gateway,
    connected,
    console,
    errors,
    fail,
    in_markup,
    note,
    on_gateway,
    plain,
    print_facts,
    with_options,
)
from maquette.cli.files import check_output, write
from maquette.cli.repair import repair
from maquette.cli.style_folders import Entry, find_pictures
from maquette.client import CallFailed, Client
from retrieval.styles import ENTRY_FIELDS, STYLE_FIELDS

app = typer.Typer(help="Look into the style library, and change it.", no_args_is_help=True)
app.command()(repair)


@app.command()
@with_options(
    {name: field for name, field in ENTRY_FIELDS.items() if name != "name"}, before="replace"
)
@on_gateway
def add(
    gateway: Gateway,
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    name: Annotated[str, typer.Option(help="Name of a single picture's style.")] = "",
    replace: Annotated[bool, typer.Option(help=STYLE_FIELDS["replace"].help)] = False,
    **asked: Any,
) -> None:
    """Add pictures to the library; they can be retrieved at once, without a restart.

    A style takes its name from the file, or from a styles.json beside it:
    {"file.png": {"name": "Art Deco", "tags": ["historic", "luxury"]}}.
    Files that are no pictures, and hidden ones, are skipped, each with a note. Pictures that cannot
    be added are listed at the end, and the exit code is then 1.
    """
    found = find_pictures(paths, {name: value for name, value in asked.items() if value})
    entries = found.entries
    for path, why in found.skipped:
        note(f"skipped: {path}: {why}")
    if not entries:
        raise fail(f"No pictures in {', '.join(map(str, paths))}. PNG, JPEG and WebP are read.")
    if name and len(entries) + len(found.refused) > 1:
        raise fail(f"--name is for one picture, and there are {len(entries) + len(found.refused)}.")
    if name:
        entries = [Entry(entries[0].path, name, entries[0].options)]
    with connected(gateway) as client:
        added, failures = add_all(client, entries, replace=replace)
    same = len(entries) - added - len(failures)
    console.print(f"{added} added or replaced, {same} there already")
    for path, reason in (not_added := [*found.refused, *failures]):
        line = plain(f"not added: {path}: {reason}")
        errors.print(line, style="red", markup=False, highlight=False)
    if not_added:
        raise typer.Exit(1)


@app.command("list")
@on_gateway
def list_styles(gateway: Gateway) -> None:
    """List the library."""
    table = Table("id", "name", "tags", "pixels")
    with connected(gateway) as client:
        for style in client.styles():
            pixels = f"{style.width} x {style.height}"
            table.add_row(*map(in_markup, (style.id, style.name, ", ".join(style.tags), pixels)))
    console.print(table)


@app.command()
@on_gateway
def search(
    gateway: Gateway,
    prompt: Annotated[str, typer.Argument(help="A sentence.")],
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; repeatable.")] = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 5,
) -> None:
    """Show the styles nearest to a sentence."""
    table = Table("similarity", "id", "name", "tags")
    with connected(gateway) as client:
        for found in client.search(prompt, style_filter=tag or (), limit=limit):
            style = found.style
            facts = (f"{found.score:.3f}", style.id, style.name, ", ".join(style.tags))
            table.add_row(*map(in_markup, facts))
    console.print(table)


@app.command()
@on_gateway
def show(
    gateway: Gateway,
    style: Annotated[str, typer.Argument(help="Its id.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write its picture, a PNG.")
    ] = None,
) -> None:
    """Show what is known of a style; write its picture."""
    try:
        with connected(gateway) as client:
            found, png = client.get_style(style)
        if out:
            check_output("--out", out)
            write(out, png)
    except (OSError, ValueError) as error:
        raise fail(error) from error
    facts = asdict(found) | {"tags": ", ".join(found.tags)} | ({"wrote": out} if out else {})
    print_facts(facts)


@app.command()
@on_gateway
def remove(
    gateway: Gateway,
    styles: Annotated[list[str], typer.Argument(help="Ids.")],
) -> None:
    """Take styles out of the library, in order, until one is not there."""
    with connected(gateway) as client:
        for style in styles:
            removed = plain(client.remove_style(style).id)
            console.print(f"removed {removed}", markup=False, highlight=False)


def add_all(
    client: Client, entries: Sequence[Entry], *, replace: bool = False
) -> tuple[int, list[tuple[Path, str]]]:
    """Add each entry; one that fails does not keep the others out.

    Returns:
        How many were new, and the path and reason of each failure.
    """
    added, failures = 0, []
    for entry in track(entries, "adding styles", console=errors, transient=True):
        try:
            done = client.add_style(entry.path, entry.name, replace=replace, **entry.options)
            added += done.added
            for warning in done.warnings:
                note(f"{entry.path}: {warning}")
        except (CallFailed, OSError, ValueError) as error:
            failures.append((entry.path, str(error)))
    return added, failures
