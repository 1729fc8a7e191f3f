"""``python -m export``: see ``--help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from export import command
from export.asked import Build, Candidates, Engine, Precision, Target, Wanted
from export.checkpoints import catalog
from maquette.cli.models.options import Who
from maquette.paths import EXPORTED, MODEL_REPOSITORY, PACKS

PART = "From a checkpoint"
VERSIONS = "Where versions are managed"


def _part(text: str, default: str | bool = True) -> Any:
    return typer.Option(rich_help_panel=PART, show_default=default, help=text)


def _managed(text: str, *names: str) -> Any:
    return typer.Option(*names, rich_help_panel=VERSIONS, help=text)


def main(
    pack: Annotated[
        str,
        typer.Option(
            help="A pack; or a Stable Diffusion 1.5 checkpoint to make one of: a folder in the "
            f"diffusers layout, a .safetensors file, or a hub id such as {catalog.BASE}."
        ),
    ],
    who: Who,
    repository: Annotated[
        Path, typer.Option(help="Triton's model repository, where the engines go.")
    ] = MODEL_REPOSITORY,
    engine: Annotated[
        Engine,
        typer.Option(
            help="onnx: ONNX Runtime. onnx-tensorrt: ONNX Runtime over TensorRT. "
            "tensorrt: TensorRT, built on the GPU that will serve it."
        ),
    ] = "onnx",
    precision: Annotated[
        Precision, typer.Option(help="fp16 is for GPUs; a CPU serves fp32.")
    ] = "fp32",
    force: Annotated[bool, typer.Option(help="Rebuild engines that are up to date, too.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="One network, such as unet; may be repeated."),
    ] = None,
    publish: Annotated[
        bool,
        _managed(
            "Make the engines in out/exported, and publish those that are not what serves in the "
            "repository as its candidates.",
            "--publish",
        ),
    ] = False,
    why: Annotated[str, _managed("The reason; the history keeps it.")] = "",
    keep: Annotated[
        bool, _managed("Leave such a repository as it is, and end well.", "--keep")
    ] = False,
    controlnet: Annotated[
        str | None, _part("ControlNet Canny, a folder or hub id.", catalog.CONTROLNET)
    ] = None,
    ip_adapter: Annotated[
        str | None,
        _part("IP-Adapter or IP-Adapter Plus, a .safetensors or .bin file.", catalog.IP_ADAPTER),
    ] = None,
    image_encoder: Annotated[
        str | None, _part("IP-Adapter's vision tower.", catalog.IMAGE_ENCODER)
    ] = None,
    clip: Annotated[
        str | None,
        _part("The retrieval pair.", catalog.CLIP),
    ] = None,
    lora: Annotated[
        str | None,
        _part("A LoRA to fuse into the UNet for good; `lcm` is the one that paints in 4 steps."),
    ] = None,
    safety_checker: Annotated[bool, _part("Take the base's safety checker along.")] = False,
    packs: Annotated[
        Path, typer.Option(rich_help_panel=PART, help="Folder where packs are made.")
    ] = PACKS,
) -> None:
    """Turn a pack into the engines Triton serves, each checked against torch.

    A checkpoint is made into a pack first: what it lacks comes from the published ControlNet,
    IP-Adapter and CLIP, pinned by commit; what was downloaded before is not fetched again.

    Versions never change. Where some were published, an export is refused, or with --publish
    becomes the candidates.
    """
    if not command.has_torch():
        raise typer.Exit(1)
    parts = {
        "controlnet": controlnet,
        "ip_adapter": ip_adapter,
        "image_encoder": image_encoder,
        "clip": clip,
        "lora": lora,
    }
    given = {name: reference for name, reference in parts.items() if reference}
    wanted = Wanted(pack, packs, given, safety_checker)
    build = Build(engine, precision)
    if publish and keep:
        raise typer.BadParameter("--publish changes what --keep leaves as it is; give one of them.")
    candidates = Candidates(EXPORTED, who, why) if publish else None
    target = Target(repository, tuple(only or ()), candidates)
    raise typer.Exit(command.run(wanted, target, build, force=force, keep=keep))


if __name__ == "__main__":
    typer.run(main)
