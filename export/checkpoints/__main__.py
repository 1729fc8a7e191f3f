"""``python -m export.checkpoints``: see ``--help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export import command
from export.quiet import quiet_libraries


def main(
    folder: Annotated[Path, typer.Argument(help="Where they are written.")],
    small: Annotated[
        bool, typer.Option(help="The same topology, narrow: 13 MB, not 7 GB.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of every weight.")] = 0,
) -> None:
    """Write random checkpoints with the layouts, names and shapes of the published ones.

    Stable Diffusion 1.5 as a folder, with its safety checker, and as one file, ControlNet,
    IP-Adapter and its Plus, their image encoder, CLIP and a LoRA: `maquette export` takes them like
    the real ones, so that a deployment can be tried where nothing is downloaded. Their pictures are
    noise.
    """
    if not command.has_torch():
        raise typer.Exit(1)
    quiet_libraries()
    from export.checkpoints.architectures import SD15, SMALL
    from export.checkpoints.random import write_checkpoints

    write_checkpoints(folder, SMALL if small else SD15, seed, report=typer.echo)
    typer.echo(f"Wrote {folder}")


if __name__ == "__main__":
    typer.run(main)
