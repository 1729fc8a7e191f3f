"""``maquette styles repair``: a style library whose database is damaged or lost."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from maquette.cli.common import console, fail
from pipeline.errors import MaquetteError
from retrieval.repair import repair as repaired


def repair(
    library: Annotated[Path, typer.Argument(help="The folder of the library.")] = Path(
        "var/library"
    ),
) -> None:
    """Keep the pictures of a library whose database is damaged or lost, with names and tags.

    For when the gateway says at its start that the database cannot be read. Nothing is deleted:
    the database is put aside, and the pictures are ready to be added again.
    """
    try:
        done = repaired(library)
    except MaquetteError as error:
        raise fail(error) from error
    said = [f"{done.pictures} has the pictures; {done.named} of them have a name."]
    if done.database:
        said.append(f"{done.database} is the old database.")
    said += ["Start maquette, and add them:", f"  maquette styles add {quote(str(done.pictures))}"]
    console.print("\n".join(said), markup=False, highlight=False, soft_wrap=True)
