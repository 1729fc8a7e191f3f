"""What several commands share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from maquette.client import CallFailed, Client

DEFAULT_SERVER = "127.0.0.1:8033"

Server = Annotated[str, typer.Option(envvar="MAQUETTE_SERVER", help="The gateway, as host:port.")]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="MAQUETTE_API_KEY", help="Where callers are asked who they are."),
]
Ca = Annotated[
    Path | None,
    typer.Option(envvar="MAQUETTE_CA", help="PEM file of who signed its certificate: use TLS."),
]

OPTIONS = {
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance",
    "controlnet_conditioning_scale": "--control",
    "control_guidance_start": "--control-start",
    "control_guidance_end": "--control-end",
    "ip_adapter_scale": "--style-scale",
    "canny_low_threshold": "--canny LOW",
    "canny_high_threshold": "--canny HIGH",
    "negative_prompt": "--negative",
    "num_images": "--count",
    "preview_interval": "--preview",
    "style_filter": "--tag",
    "style_images": "--style-image",
    "style_weights": "--style-weight",
}
"""The command line's words for the protocol's fields; the others have the same name."""

console = Console()
errors = Console(stderr=True, soft_wrap=True)


def fail(message: object) -> typer.Exit:
    """Say what went wrong in one plain line; raise what this returns."""
    errors.print(f"maquette: {message}", style="red", markup=False, highlight=False)
    return typer.Exit(1)


def in_options(message: str) -> str:
    """`message` of the service, with fields called as the options that set them."""
    return re.sub("|".join(OPTIONS), lambda field: OPTIONS[field[0]], message)


@contextmanager
def connected(server: str, api_key: str | None, ca: Path | None) -> Iterator[Client]:
    """A client for the block; what fails in it ends the command with one plain line."""
    try:
        with Client(server, api_key or None, ca) as client:
            yield client
    except CallFailed as error:
        raise fail(in_options(str(error))) from error
