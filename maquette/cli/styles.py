"""``maquette styles``: the style library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from maquette.cli.common import DEFAULT_SERVER, Server, console, errors, fail
from maquette.client import CallFailed, Client, connect
from maquette.v1 import maquette_pb2 as pb

app = typer.Typer(help="Add to, list and search the style library.", no_args_is_help=True)

SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".webp",
    ".avif", ".bmp", ".gif", ".heic", ".pdf", ".svg", ".tif", ".tiff",
}  # fmt: skip
"""What people keep pictures in; the service says of each whether it reads it."""
NAMES_FILE = "styles.json"
NAMES_EXAMPLE = '{"file.png": {"name": "Art Deco", "tags": ["historic"]}}'


@dataclass(frozen=True)
class Entry:
    """A picture to add."""

    path: Path
    name: str
    tags: tuple[str, ...]


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of pictures.")],
    name: Annotated[str, typer.Option(help="Name of a single picture's style.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag for all; repeatable.")] = None,
    replace: Annotated[bool, typer.Option(help="Replace styles of the same name.")] = False,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Add pictures to the library; they can be retrieved at once, without a restart.

    A style takes its name from the file, or from a styles.json beside it:
    {"file.png": {"name": "Art Deco", "tags": ["historic", "luxury"]}}.
    Pictures that cannot be read are listed at the end, and the exit code is then 1.
    """
    entries = list(find_pictures(paths, tuple(tag or ())))
    if not entries:
        raise fail(f"No pictures in {', '.join(map(str, paths))}. PNG, JPEG and WebP are read.")
    if name and len(entries) > 1:
        raise fail(f"--name is for one picture, and there are {len(entries)}.")
    if name:
        entries = [Entry(entries[0].path, name, entries[0].tags)]
    try:
        with connect(server) as client:
            added, failures = add_all(client, entries, replace=replace)
    except CallFailed as error:
        raise fail(error) from error
    same = len(entries) - added - len(failures)
    console.print(f"{added} added or replaced, {same} there already")
    for path, reason in failures:
        line = f"not added: {path}: {reason}".encode(errors="replace").decode()
        errors.print(line, style="red", markup=False, highlight=False)
    if failures:
        raise typer.Exit(1)


@app.command("list")
def list_styles(server: Server = DEFAULT_SERVER) -> None:
    """List the library."""
    table = Table("id", "name", "tags", "pixels")
    try:
        with connect(server) as client:
            for style in client.styles():
                pixels = f"{style.width} x {style.height}"
                table.add_row(style.id, escape(style.name), escape(", ".join(style.tags)), pixels)
    except CallFailed as error:
        raise fail(error) from error
    console.print(table)


@app.command()
def search(
    prompt: Annotated[str, typer.Argument(help="A sentence.")],
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; repeatable.")] = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 5,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Show the styles nearest to a sentence."""
    table = Table("similarity", "id", "name", "tags")
    request = pb.SearchStylesRequest(prompt=prompt, style_filter=tag or [], limit=limit)
    try:
        with connect(server) as client:
            for found in client.search(request):
                style = found.style
                tags = escape(", ".join(style.tags))
                table.add_row(f"{found.score:.3f}", style.id, escape(style.name), tags)
    except CallFailed as error:
        raise fail(error) from error
    console.print(table)


def find_pictures(paths: Sequence[Path], tags: tuple[str, ...] = ()) -> Iterator[Entry]:
    """The pictures among `paths`; a file that is named counts, whatever its suffix."""
    for path in paths:
        found = [path]
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        for file in found:
            known = _names(file.parent).get(file.name, {})
            own = tuple(known.get("tags", ()))
            yield Entry(file, known.get("name", _title(file)), (*own, *tags))


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
            request = pb.AddStyleRequest(
                image=entry.path.read_bytes(), name=entry.name, tags=entry.tags, replace=replace
            )
            added += client.add_style(request).added
        except (CallFailed, OSError, ValueError) as error:
            failures.append((entry.path, str(error)))
    return added, failures


def _names(folder: Path) -> dict[str, dict[str, Any]]:
    file = folder / NAMES_FILE
    if not file.exists():
        return {}
    try:
        names = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise fail(f"{file} is not JSON: {error}") from error
    if not isinstance(names, dict):
        raise fail(f"{file} must look like {NAMES_EXAMPLE}")
    for picture, known in names.items():
        _check_entry(file, picture, known)
    return names


def _check_entry(file: Path, picture: str, known: Any) -> None:
    fits = isinstance(known, dict) and set(known) <= {"name", "tags"}
    fits = fits and isinstance(known.get("name", ""), str)
    tags = known.get("tags", []) if fits else None
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise fail(f"{file}: the entry of {picture} must look like {NAMES_EXAMPLE}")
    if not (file.parent / picture).exists():
        raise fail(f"{file} names {picture}, which is not in the folder.")


def _title(file: Path) -> str:
    return file.stem.replace("-", " ").replace("_", " ")
