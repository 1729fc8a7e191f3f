"""``maquette models reembed``: vectors of another CLIP version for the whole style library."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import grpc
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from maquette.cli.common import (
    Gateway,
    connected,
    console,
    errors,
    fail,
    on_gateway,
    plain,
)
from maquette.client import CallFailed, Client, Reembedded

DECLINED, BUSY = 3, 4
"""As every command of ``maquette models`` ends."""
ENDS = {
    grpc.StatusCode.FAILED_PRECONDITION: DECLINED,
    grpc.StatusCode.ABORTED: BUSY,
    grpc.StatusCode.ALREADY_EXISTS: BUSY,
}


@on_gateway
def reembed(
    gateway: Gateway,
    version: Annotated[
        int | None, typer.Argument(help="Of the clip pair; its candidate otherwise.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False,
) -> None:
    """Give every style its vector of a new CLIP, beside those that are searched.

    The gateway does it, between renders; broken off, it goes on where it was when called again.
    Styles may be added and removed meanwhile. When all are done, `maquette models promote clip`
    switches. Ends with 1 when a style could not be embedded; the others are.
    """
    with connected(gateway) as client:
        found = _follow(client, version)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        console.print(f"{found.done} of {found.total} styles have their vector")
    for style, why in found.failed.items():
        line = plain(f"not embedded: {style}: {why}")
        errors.print(line, style="red", markup=False, highlight=False)
    if not found.complete:
        raise typer.Exit(1)


def _follow(client: Client, version: int | None) -> Reembedded:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    found = Reembedded(done=0, total=0, failed={}, complete=False)
    with Progress(*columns, TimeRemainingColumn(), console=errors, transient=True) as progress:
        task = progress.add_task("embedding styles", total=None)
        try:
            for found in client.reembed(version):
                progress.update(task, completed=found.done, total=found.total)
        except CallFailed as error:
            fail(error)
            raise typer.Exit(ENDS.get(error.code, 1)) from error
    return found
