"""``maquette keys``: who may call the gateway."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from gateway.auth.caller import Scope
from gateway.auth.keys import Key, KeyStore
from maquette import running
from maquette.cli.common import console, errors, fail, in_markup, plain
from maquette.paths import STATE
from pipeline.errors import MaquetteError

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

UNITS = {"h": "hours", "d": "days", "w": "weeks"}
NAME = "keys.json"

File = Annotated[
    Path | None,
    typer.Option(
        envvar="MAQUETTE_KEYS",
        help="The file of keys that the gateway reads.",
        show_default="that of the `maquette up` that runs here, else var/keys.json",
    ),
]
State = Annotated[
    Path | None,
    typer.Option(envvar="MAQUETTE_STATE", help="The folder that `maquette up --state` was given."),
]
Server = Annotated[
    str | None,
    typer.Option(
        envvar="MAQUETTE_SERVER",
        help="Of the `maquette up`s that run here, the one whose gateway is at host:port.",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Other than the gateway's setting.")]


def _lifetime(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", text)
    if not found:
        raise typer.BadParameter(f"{text} must be a number of hours, days or weeks: 12h, 30d, 8w.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Who will use it; shown in the list.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it opens: render unless said otherwise; repeatable."),
    ] = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(parser=_lifetime, metavar="TIME", help="After 12h, 30d or 8w, say."),
    ] = None,
    calls_per_minute: Limit = None,
    renders_per_minute: Limit = None,
    renders_at_once: Limit = None,
    renders_per_day: Limit = None,
    file: File = None,
    state: State = None,
    server: Server = None,
) -> None:
    """Make a key and show it, this once; the gateway takes it at once, without a restart.

    The key alone goes to standard output: KEY=$(maquette keys create NAME).
    """
    asked = {
        "calls_per_minute": calls_per_minute,
        "renders_per_minute": renders_per_minute,
        "renders_at_once": renders_at_once,
        "renders_per_day": renders_per_day,
    }
    limits = {limit: value for limit, value in asked.items() if value is not None}
    path = _file(file, state, server)
    try:
        key, secret = KeyStore(path).create(name, scope or [Scope.RENDER], expires, limits)
    except MaquetteError as error:
        raise fail(error) from error
    typer.echo(secret)
    said = f"key {key.id} for {plain(key.name)}: {_scopes(key)}; expires {_expiry(key)}"
    errors.print(f"{said}. It is not shown again.", markup=False, highlight=False)
    _say_where(path)


@app.command("list")
def list_keys(file: File = None, state: State = None, server: Server = None) -> None:
    """List the keys, without what would let anybody in."""
    path = _file(file, state, server)
    table = Table("id", "name", "scopes", "created", "expires", "limits of its own")
    try:
        for key in KeyStore(path).all():
            limits = "\n".join(f"{limit} {value:,}" for limit, value in key.limits.items())
            created = f"{key.created:%Y-%m-%d}"
            table.add_row(key.id, in_markup(key.name), _scopes(key), created, _expiry(key), limits)
    except MaquetteError as error:
        raise fail(error) from error
    console.print(table)
    _say_where(path)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `maquette keys list` shows it.")],
    file: File = None,
    state: State = None,
    server: Server = None,
) -> None:
    """Remove a key; the gateway refuses it from the next call on."""
    path = _file(file, state, server)
    try:
        key = KeyStore(path).revoke(key_id)
    except MaquetteError as error:
        raise fail(error) from error
    said = f"key {key.id} for {plain(key.name)} is revoked"
    console.print(said, markup=False, highlight=False)
    _say_where(path)


def _file(file: Path | None, state: Path | None, server: str | None) -> Path:
    """The file that a gateway reads: what was named, or else what the one that runs here reads."""
    if file or state:
        return file or Path(state or "", NAME)
    found = running.found(server)
    if len(found) > 1:
        gateways = ", ".join(f"{one.server} reads {one.keys}" for one in found)
        raise fail(f"Several gateways run here. Name one with --server: {gateways}.")
    if server and not found:
        raise fail(
            f"No `maquette up` of this user here serves at {server}, and a gateway reads its keys "
            "from a file on its own machine. Run this there, or name the file with --file."
        )
    return Path(found[0].keys) if found else STATE / NAME


def _say_where(path: Path) -> None:
    readers = " and ".join(running.readers(path))
    reads = f"; the gateway at {readers} reads it" if readers else ""
    errors.print(plain(f"the file is {path}{reads}"), markup=False, highlight=False)


def _scopes(key: Key) -> str:
    return ", ".join(sorted(key.scopes))


def _expiry(key: Key) -> str:
    if key.expires is None:
        return "never"
    return f"{key.expires:%Y-%m-%d %H:%M} UTC" + (" (over)" if key.has_expired else "")
