"""What several commands share."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

DEFAULT_SERVER = "127.0.0.1:8033"

Server = Annotated[str, typer.Option(envvar="MAQUETTE_SERVER", help="The gateway, as host:port.")]

console = Console()
errors = Console(stderr=True, soft_wrap=True)


def fail(message: object) -> typer.Exit:
    """Say what went wrong in one plain line; raise what this returns."""
    errors.print(f"maquette: {message}", style="red", markup=False, highlight=False)
    return typer.Exit(1)
