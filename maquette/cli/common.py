"""What several commands share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from maquette import running
from maquette.client import CallFailed, Client
from pipeline import addresses

DEFAULT_SERVER = running.USUAL


def _that_runs(context: typer.Context, option: typer.CallbackParam, server: str) -> str:
    """The address that was given, or else where the only gateway here is, whatever its port."""
    source = context.get_parameter_source(str(option.name))
    if source is None or source.name != "DEFAULT":
        return server
    found = running.found()
    return found[0].server if len(found) == 1 else server


Server = Annotated[
    str,
    typer.Option(
        envvar="MAQUETTE_SERVER",
        help="The gateway, as host:port; that of the `maquette up` that runs here, if one does.",
        callback=_that_runs,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(envvar="MAQUETTE_API_KEY", help="Where callers are asked who they are."),
]
Ca = Annotated[
    Path | None,
    typer.Option(envvar="MAQUETTE_CA", help="PEM file of who signed its certificate: use TLS."),
]
Tls = Annotated[
    bool,
    typer.Option("--tls", envvar="MAQUETTE_TLS", help="Use TLS; a known authority signed."),
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


def plain(text: object) -> str:
    """`text` on one line, with "?" for what could steer a terminal or reorder what it shows.

    Pictures and servers say what others wrote.
    """
    spaced = re.sub(r"\s", " ", str(text))
    return "".join(letter if letter.isprintable() else "?" for letter in spaced)


def in_markup(text: object) -> str:
    """The same, for where Rich reads markup."""
    return escape(plain(text))


def print_facts(facts: Mapping[str, object]) -> None:
    """Show names and values, a line each."""
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(f"[bold]{name:<{width}}[/bold]", in_markup(value), highlight=False)


def note(message: object) -> None:
    """Say on standard error what the user may want to know."""
    errors.print(f"note: {plain(message)}", style="yellow", markup=False, highlight=False)


def fail(message: object) -> typer.Exit:
    """Say what went wrong in one plain line; raise what this returns."""
    errors.print(f"maquette: {plain(message)}", style="red", markup=False, highlight=False)
    return typer.Exit(1)


def in_options(message: str) -> str:
    """`message` of the service, with fields called as the options that set them."""
    return re.sub("|".join(OPTIONS), lambda field: OPTIONS[field[0]], message)


@contextmanager
def connected(
    server: str, api_key: str | None, ca: Path | None, tls: bool = False
) -> Iterator[Client]:
    """A client for the block; what fails in it ends the command with one plain line."""
    try:
        with Client(server, api_key or None, ca, tls=tls) as client:
            if api_key and not (tls or ca or _is_loopback(server)):
                note(f"the API key goes to {server} in clear. --tls or --ca keeps it from others.")
            yield client
    except CallFailed as error:
        raise fail(in_options(str(error))) from error


def _is_loopback(server: str) -> bool:
    return addresses.is_loopback(server.rpartition(":")[0].strip("[]"))
