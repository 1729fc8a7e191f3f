"""``python -m training``: see ``--help``."""

from __future__ import annotations

import os
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress

from export.quiet import quiet_libraries
from training import bundled
from training.recipes import RECIPES, SAMPLES

if TYPE_CHECKING:
    from transformers import CLIPModel, CLIPTokenizer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def main() -> None:
    """Make what ships with maquette."""
    quiet_libraries()


@app.command()
def pack(
    out: Annotated[Path, typer.Argument(help="Folder to write; replaced when it exists.")],
    seed: Annotated[int, typer.Option(help="Seed of every weight.")] = 0,
) -> None:
    """Write the tiny pack with random weights."""
    from training.pack import write_random_pack

    write_random_pack(out, seed, report=lambda part: typer.echo(f"tiny pack: {part}"))
    typer.echo(f"Wrote {out}")


@app.command()
def styles(out: Annotated[Path, typer.Argument(help="Folder for the pictures.")]) -> None:
    """Draw the bundled style images, and styles.json with their names and tags."""
    typer.echo(f"Wrote {bundled.write_styles(out)} styles to {out}")


@app.command()
def sketches(out: Annotated[Path, typer.Argument(help="Folder for the pictures.")]) -> None:
    """Draw the example sketches."""
    typer.echo(f"Wrote {bundled.write_sketches(out)} sketches to {out}")


Work = Annotated[Path, typer.Option(help="Folder of the data sets, checkpoints and latents.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]

WORK = Path("out/training")


class StageName(StrEnum):
    """What can be trained, by the names of the recipes."""

    VAE = "vae"
    CLIP = "clip"
    UNET = "unet"
    CONTROLNET = "controlnet"
    IP_ADAPTER = "ip_adapter"
    JOINT = "joint"
    LCM = "lcm"


@app.command()
def data(
    work: Work = WORK,
    device: Device = "cpu",
    count: Annotated[int | None, typer.Option(help="Samples to train on.")] = None,
) -> None:
    """Draw the data set."""
    from training import dataset

    size = count or SAMPLES[_kind(device)]
    with Progress() as progress:
        advance = partial(progress.advance, progress.add_task("samples", total=size))
        dataset.draw(work / "train", "train", size, os.cpu_count() or 1, advance)


@app.command()
def train(
    stage: Annotated[
        StageName, typer.Argument(help="vae and clip first, then `latents`, lcm last.")
    ],
    work: Work = WORK,
    device: Device = "cpu",
    steps: Annotated[
        int | None, typer.Option(help="Steps in all; a resumed run counts those it has.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Samples in a step.")] = None,
    rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, batches and noise.")] = 0,
) -> None:
    """Train one stage, or go on with it where it was interrupted.

    vae: the autoencoder. clip: the two towers, contrastive. unet: text to image. controlnet: on the
    frozen UNet, from zero convolutions. ip_adapter: on the frozen UNet, over CLIP's vision tower.
    joint: the last three at once, which gives more for the time on a small machine. lcm: a LoRA
    that paints in four steps without guidance, from what the painting stages learnt.
    """
    from training import autoencoder, consistency, contrastive, painting
    from training.dataset import read
    from training.loop import Plan

    recipe = RECIPES[_kind(device)][stage]
    length = steps or recipe.steps, batch or recipe.batch, rate or recipe.learning_rate
    plan = Plan(*length, seed=seed, device=device)
    pictures = read(work / "train")
    match stage:
        case StageName.VAE:
            autoencoder.train(pictures, plan, work / "vae")
        case StageName.CLIP:
            contrastive.train(pictures, plan, work / "clip")
        case StageName.LCM:
            consistency.train(pictures, _towers(work), work, plan)
        case _:
            crops = painting.Crops(share=recipe.crop_share)
            of = painting.STAGES[stage]
            painting.train(of, pictures, _towers(work), work, plan, crops, recipe.guided_share)


@app.command()
def latents(work: Work = WORK, device: Device = "cpu") -> None:
    """Encode the training pictures with the trained autoencoder and CLIP."""
    from training import autoencoder
    from training import latents as cache
    from training.dataset import read

    pictures, (towers, _) = read(work / "train"), _towers(work)
    with Progress() as progress:
        advance = partial(progress.advance, progress.add_task("latents", total=pictures.count))
        vae = autoencoder.load(work / "vae")
        cache.encode(pictures, vae, towers, work / "latents", device, advance)


@app.command()
def assemble(
    out: Annotated[Path, typer.Argument(help="Folder to write; replaced when it exists.")],
    work: Work = WORK,
) -> None:
    """Write the tiny pack from the trained stages, with the LCM-LoRA where there is one."""
    from training import autoencoder, consistency, painting
    from training import latents as cache
    from training import pack as packs

    clip, tokenizer = _towers(work)
    made = packs.trained_networks(
        autoencoder.load(work / "vae"),
        float(cache.read(work / "latents")["scaling_factor"]),
        painting.load(work),
        clip,
        consistency.load(work) if (work / consistency.STAGE).is_dir() else None,
    )
    packs.write_pack(out, made, tokenizer, "trained")
    typer.echo(f"Wrote {out}: {packs.megabytes(out):.1f} MB")
    if (out / packs.CARD).exists():
        typer.echo(f"{out / packs.CARD} tells of earlier weights: `make eval`, then mend it.")


def _kind(device: str) -> str:
    """The kind of a device: ``cuda`` of ``cuda:1``."""
    return device.split(":", maxsplit=1)[0]


def _towers(work: Path) -> tuple[CLIPModel, CLIPTokenizer]:
    """CLIP as it was trained, and its tokenizer."""
    from training import contrastive
    from training.tokenizer import make_tokenizer

    tokenizer = make_tokenizer()
    return contrastive.load(work / "clip", tokenizer), tokenizer


if __name__ == "__main__":
    app()
