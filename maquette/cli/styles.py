"""``maquette styles``: the style library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import track
from rich.table import Table

from maquette.cli.common import (
    DEFAULT_SERVER,
    ApiKey,
    Ca,
    Server,
    Tls,
    connected,
    console,
    errors,
    fail,
    in_markup,
    plain,
    print_facts,
)
from maquette.cli.files import check_output
from maquette.client import CallFailed, Client

app = typer.Typer(help="Look into the style library, and change it.", no_args_is_help=True)

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
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
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
    with connected(server, api_key, ca, tls) as client:
        added, failures = add_all(client, entries, replace=replace)
    same = len(entries) - added - len(failures)
    console.print(f"{added} added or replaced, {same} there already")
    for path, reason in failures:
        line = plain(f"not added: {path}: {reason}")
        errors.print(line, style="red", markup=False, highlight=False)
    if failures:
        raise typer.Exit(1)


@app.command("list")
def list_styles(
    server: Server = DEFAULT_SERVER, api_key: ApiKey = None, ca: Ca = None, tls: Tls = False
) -> None:
    """List the library."""
    table = Table("id", "name", "tags", "pixels")
    with connected(server, api_key, ca, tls) as client:
        for style in client.styles():
            pixels = f"{style.width} x {style.height}"
            table.add_row(*map(in_markup, (style.id, style.name, ", ".join(style.tags), pixels)))
    console.print(table)


@app.command()
def search(
    prompt: Annotated[str, typer.Argument(help="A sentence.")],
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag; repeatable.")] = None,
    limit: Annotated[int, typer.Option(help="How many.")] = 5,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Show the styles nearest to a sentence."""
    table = Table("similarity", "id", "name", "tags")
    with connected(server, api_key, ca, tls) as client:
        for found in client.search(prompt, style_filter=tag or (), limit=limit):
            style = found.style
            facts = (f"{found.score:.3f}", style.id, style.name, ", ".join(style.tags))
            table.add_row(*map(in_markup, facts))
    console.print(table)


@app.command()
def show(
    style: Annotated[str, typer.Argument(help="Its id.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write its picture, a PNG.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Show what is known of a style; write its picture."""
    try:
        with connected(server, api_key, ca, tls) as client:
            found, png = client.get_style(style)
        if out:
            check_output("--out", out)
            out.write_bytes(png)
    except (OSError, ValueError) as error:
        raise fail(error) from error
    facts = asdict(found) | {"tags": ", ".join(found.tags)} | ({"wrote": out} if out else {})
    print_facts(facts)


@app.command()
def remove(
    styles: Annotated[list[str], typer.Argument(help="Ids.")],
    server: Server = DEFAULT_SERVER,
    api_key: ApiKey = None,
    ca: Ca = None,
    tls: Tls = False,
) -> None:
    """Take styles out of the library, in order, until one is not there."""
    with connected(server, api_key, ca, tls) as client:
        for style in styles:
            removed = plain(client.remove_style(style).id)
            console.print(f"removed {removed}", markup=False, highlight=False)


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
            _, changed = client.add_style(entry.path, entry.name, tags=entry.tags, replace=replace)
            added += changed
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
