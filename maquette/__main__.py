"""The ``maquette`` command."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from export.__main__ import main as export
from maquette.cli.demo import demo
from maquette.cli.doctor import doctor
from maquette.cli.keys import app as keys
from maquette.cli.models import app as models
from maquette.cli.recall import recall
from maquette.cli.render import render
from maquette.cli.styles import app as styles
from maquette.cli.up import up

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"maquette {version('maquette')}")
        raise typer.Exit


@app.callback()
def common(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """A sketch and a sentence become a render, in a style that was retrieved."""


app.command()(up)
app.command()(render)
app.command()(recall)
app.add_typer(styles, name="styles")
app.add_typer(keys, name="keys")
app.add_typer(models, name="models")
app.command("export")(export)
app.command()(demo)
app.command()(doctor)


def main() -> None:
    """Run the command line."""
    app(prog_name="maquette")


if __name__ == "__main__":
    main()
