"""``python -m export``: see ``--help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export import command


def main(
    pack: Annotated[Path, typer.Option(help="Folder in the diffusers layout.")],
    repository: Annotated[
        Path, typer.Option(help="Triton's model repository, where the engines go.")
    ] = Path(__file__).parent.parent / "model_repository",
    force: Annotated[bool, typer.Option(help="Rebuild engines that are up to date.")] = False,
) -> None:
    """Turn a pack into the engines Triton serves, each checked against torch."""
    raise typer.Exit(command.run(pack, repository, force))


if __name__ == "__main__":
    typer.run(main)
