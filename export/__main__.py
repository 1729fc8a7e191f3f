"""``python -m export``: see ``--help``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from export import command
from export.asked import Build, Candidates, Target, Wanted
from export.checkpoints import catalog
from maquette.cli.models.options import Who
from maquette.paths import EXPORTED, MODEL_REPOSITORY, PACKS

PART = "From a checkpoint"
VERSIONS = "Where versions are managed"


class Engine(StrEnum):
    """What executes the networks."""

    ONNX = "onnx"
    ONNX_TENSORRT = "onnx-tensorrt"
    TENSORRT = "tensorrt"


class Precision(StrEnum):
    """Inside the networks; their inputs and outputs are fp32 always."""

    FP32 = "fp32"
    FP16 = "fp16"


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
    ] = Engine.ONNX,
    precision: Annotated[
        Precision, typer.Option(help="fp16 is for GPUs; a CPU serves fp32.")
    ] = Precision.FP32,
    force: Annotated[bool, typer.Option(help="Rebuild engines that are up to date, too.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="One network, such as unet; may be repeated."),
    ] = None,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            rich_help_panel=VERSIONS,
            help="Make the engines in out/exported, and publish those that are not what serves in "
            "the repository as its candidates.",
        ),
    ] = False,
    why: Annotated[
        str, typer.Option(rich_help_panel=VERSIONS, help="The reason; the history keeps it.")
    ] = "",
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            rich_help_panel=VERSIONS,
            help="Leave such a repository as it is, and end well.",
        ),
    ] = False,
    controlnet: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PART,
            show_default=catalog.CONTROLNET,
            help="ControlNet Canny, a folder or hub id.",
        ),
    ] = None,
    ip_adapter: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PART,
            show_default=catalog.IP_ADAPTER,
            help="IP-Adapter or IP-Adapter Plus, a .safetensors or .bin file.",
        ),
    ] = None,
    image_encoder: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PART,
            show_default=catalog.IMAGE_ENCODER,
            help="IP-Adapter's vision tower.",
        ),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PART,
            show_default=catalog.CLIP,
            help="The retrieval pair, of 512 dimensions.",
        ),
    ] = None,
    lora: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=PART,
            help="A LoRA to fuse into the UNet for good; `lcm` is the one that paints in 4 steps.",
        ),
    ] = None,
    safety_checker: Annotated[
        bool, typer.Option(rich_help_panel=PART, help="Take the base's safety checker along.")
    ] = False,
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
    build = Build(engine.value, precision.value)
    if publish and keep:
        raise typer.BadParameter("--publish changes what --keep leaves as it is; give one of them.")
    candidates = Candidates(EXPORTED, who, why) if publish else None
    target = Target(repository, tuple(only or ()), candidates)
    raise typer.Exit(command.run(wanted, target, build, force=force, keep=keep))


if __name__ == "__main__":
    typer.run(main)
