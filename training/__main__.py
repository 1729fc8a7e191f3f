"""``python -m training``: see ``--help``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from export.quiet import quiet_libraries
from training.draw import draw_sketch, draw_styled
from training.scenes import make_scene
from training.styles import STYLES

app = typer.Typer(help="Make what ships with maquette.", no_args_is_help=True)

STYLE_SEED = 20
EXAMPLE_SEEDS = {"town-house": 1, "villa": 2, "offices": 8}


@app.command()
def pack(
    out: Annotated[Path, typer.Argument(help="Folder to write; replaced when it exists.")],
    seed: Annotated[int, typer.Option(help="Seed of every weight.")] = 0,
) -> None:
    """Write the tiny pack with random weights."""
    quiet_libraries()
    from training.pack import write_random_pack

    write_random_pack(out, seed, report=lambda part: typer.echo(f"tiny pack: {part}"))
    typer.echo(f"Wrote {out}")


@app.command()
def styles(out: Annotated[Path, typer.Argument(help="Folder for the pictures.")]) -> None:
    """Draw the bundled style images, and styles.json with their names and tags."""
    out.mkdir(parents=True, exist_ok=True)
    entries = {}
    for index, style in enumerate(STYLES):
        file = f"{style.name.replace(' ', '-')}.png"
        scene = make_scene(STYLE_SEED + index)
        draw_styled(scene, style, seed=index).save(out / file, optimize=True)
        entries[file] = {"name": style.name, "tags": list(style.tags)}
    (out / "styles.json").write_text(json.dumps(entries, indent=2) + "\n")
    typer.echo(f"Wrote {len(entries)} styles to {out}")


@app.command()
def sketches(out: Annotated[Path, typer.Argument(help="Folder for the pictures.")]) -> None:
    """Draw the example sketches."""
    out.mkdir(parents=True, exist_ok=True)
    for name, seed in EXAMPLE_SEEDS.items():
        draw_sketch(make_scene(seed)).save(out / f"{name}.png", optimize=True)
    typer.echo(f"Wrote {len(EXAMPLE_SEEDS)} sketches to {out}")


if __name__ == "__main__":
    app()
