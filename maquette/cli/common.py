"""What several commands share."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

import typer
from rich.console import Console
from rich.markup import escape

from maquette import running
from maquette.client import CallFailed, Client
from pipeline import addresses
from pipeline.fields import Field
from pipeline.request import FIELDS

Command = TypeVar("Command", bound=Callable[..., Any])


def _that_runs(context: typer.Context, option: typer.CallbackParam, server: str) -> str:
    """The address that was given, or else where the only gateway here is, whatever its port."""
    source = context.get_parameter_source(str(option.name))
    if source is None or source.name != "DEFAULT":
        return server
    found = running.found()
    return found[0].server if len(found) == 1 else server


@dataclass(frozen=True)
class Gateway:
    """The gateway that a command calls, and how."""

    server: Annotated[
        str,
        typer.Option(
            envvar="MAQUETTE_SERVER",
            help="The gateway, as host:port; that of the `maquette up` that runs here, if "
            "one does.",
            callback=_that_runs,
        ),
    ] = running.USUAL
    api_key: Annotated[
        str | None,
        typer.Option(envvar="MAQUETTE_API_KEY", help="Where callers are asked who they are."),
    ] = field(default=None, repr=False)
    ca: Annotated[
        Path | None,
        typer.Option(envvar="MAQUETTE_CA", help="PEM file of who signed its certificate: use TLS."),
    ] = None
    tls: Annotated[
        bool,
        typer.Option("--tls", envvar="MAQUETTE_TLS", help="Use TLS; a known authority signed."),
    ] = False

    def client(self, timeout: float | None = None) -> Client:
        """A client of it; see :class:`maquette.client.Client`."""
        return Client(self.server, self.api_key or None, self.ca, timeout, self.tls)


def on_gateway(command: Command) -> Command:
    """Give a command that takes a `gateway` the options that say which, and how to call it."""
    signature = inspect.signature(command, eval_str=True)
    others = [each for name, each in signature.parameters.items() if name != "gateway"]
    own = inspect.signature(Gateway, eval_str=True).parameters
    # Keywords that `with_options` is to replace stay last.
    last = len(others) - any(each.kind is each.VAR_KEYWORD for each in others)

    @wraps(command)
    def called(**given: Any) -> Any:
        return command(gateway=Gateway(**{name: given.pop(name) for name in own}), **given)

    every = [*others[:last], *own.values(), *others[last:]]
    called.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
    return cast("Command", called)


OPTIONS = {name: f"--{field.option}" for name, field in FIELDS.items() if "_" in name}
"""The command line's words for fields whose names are no words of a sentence."""

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


def option(field: Field) -> inspect.Parameter:
    """The option that sets `field`, None where it is not given."""
    kind: Any = list[field.kind] if field.several else field.kind  # type: ignore[name-defined]
    says = f"{field.described} Repeatable." if field.several else field.described
    switch = f"/--no-{field.option}" if field.kind is bool else ""
    declared = typer.Option(f"--{field.option}{switch}", help=in_options(says))
    return inspect.Parameter(
        field.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[kind | None, declared],
    )


def with_options(fields: Mapping[str, Field], before: str) -> Callable[[Command], Command]:
    """Give a command that takes `**` keywords an option for each of `fields`.

    Args:
        before: the parameter of the command that comes after them.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        *written, _keywords = signature.parameters.values()
        at = list(signature.parameters).index(before)
        every = [*written[:at], *map(option, fields.values()), *written[at:]]
        command.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
        return command

    return decorate


def in_options(message: str) -> str:
    """`message` of the service, with fields called as the options that set them."""
    return re.sub("|".join(OPTIONS), lambda field: OPTIONS[field[0]], message)


@contextmanager
def connected(gateway: Gateway) -> Iterator[Client]:
    """A client for the block; what fails in it ends the command with one plain line."""
    try:
        with gateway.client() as client:
            host = gateway.server.rpartition(":")[0].strip("[]")
            if gateway.api_key and not (gateway.tls or gateway.ca or addresses.is_loopback(host)):
                note(
                    f"the API key goes to {gateway.server} in clear. "
                    "--tls or --ca keeps it from others."
                )
            yield client
    except CallFailed as error:
        raise fail(in_options(str(error))) from error
