"""``maquette render``: a sketch and a sentence to a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from maquette.board import Panel, make_board
from maquette.cli.common import DEFAULT_SERVER, Server, console, errors, fail
from maquette.client import CallFailed, connect
from maquette.v1 import maquette_pb2 as pb
from pipeline.images import decode
from pipeline.request import DEFAULTS, RANGES
from pipeline.samplers import SAMPLERS

EDGES = f"{DEFAULTS['canny_low_threshold']} {DEFAULTS['canny_high_threshold']}"


def _help(field: str, meaning: str, default: str | None = None) -> str:
    shown = default or DEFAULTS[field]
    return f"{meaning} [{RANGES[field]}; default: {shown}]"


def render(
    sketch: Annotated[Path, typer.Argument(help="PNG, JPEG or WebP.", show_default=False)],
    prompt: Annotated[str, typer.Argument(help="What it should look like.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write.")] = Path(
        "render.png"
    ),
    board: Annotated[
        Path | None, typer.Option(help="Also write sketch, edges, style and render side by side.")
    ] = None,
    negative: Annotated[str, typer.Option(help="What it should not look like.")] = "",
    style: Annotated[
        str, typer.Option(help="Id of a style in the library, instead of the nearest one.")
    ] = "",
    tag: Annotated[
        list[str] | None, typer.Option(help="Only retrieve styles with this tag; repeatable.")
    ] = None,
    style_image: Annotated[
        list[Path] | None, typer.Option(help="Your own reference picture; repeatable.")
    ] = None,
    style_weight: Annotated[
        list[float] | None,
        typer.Option(help="Its weight among several, 0 to 1 (default: equal); repeatable."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=_help("seed", "Repeats a render.", "drawn"))
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help=_help("num_inference_steps", "Denoising steps."))
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(help=_help("guidance_scale", "Pull of the prompt."))
    ] = None,
    control: Annotated[
        float | None,
        typer.Option(help=_help("controlnet_conditioning_scale", "Hold of the sketch.")),
    ] = None,
    style_scale: Annotated[
        float | None,
        typer.Option(help=_help("ip_adapter_scale", "Strength of the style.", "0.8")),
    ] = None,
    scheduler: Annotated[
        str, typer.Option(help=f"{', '.join(SAMPLERS)} (default: {DEFAULTS['scheduler']}).")
    ] = "",
    canny: Annotated[
        tuple[int, int] | None,
        typer.Option(help=f"Low and high edge threshold (default: {EDGES}).", metavar="LOW HIGH"),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help=_help("num_images", "Pictures, with seeds in a row."))
    ] = None,
    width: Annotated[
        int | None, typer.Option(help=_help("width", "Pixels.", "follows the sketch"))
    ] = None,
    height: Annotated[
        int | None, typer.Option(help=_help("height", "Pixels.", "follows the sketch"))
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
    server: Server = DEFAULT_SERVER,
) -> None:
    """Turn a sketch and a sentence into a render.

    The picture keeps the sketch's edges and wears the style that the library holds nearest to the
    sentence. Start the service first, with `maquette up`.

    Example: maquette render house.png "futuristic neon city at night" -o night.png
    """
    try:
        _check_files(sketch, out, board)
        request = pb.RenderRequest(
            sketch=_read(sketch),
            prompt=prompt,
            negative_prompt=negative,
            style=style,
            style_filter=tag or [],
            style_images=[_read(path) for path in style_image or []],
            style_weights=style_weight or [],
            ip_adapter_scale=[] if style_scale is None else [style_scale],
            scheduler=scheduler,
        )
        _set_numbers(
            request,
            {
                "seed": seed,
                "num_inference_steps": steps,
                "guidance_scale": guidance,
                "controlnet_conditioning_scale": control,
                "canny_low_threshold": canny[0] if canny else None,
                "canny_high_threshold": canny[1] if canny else None,
                "num_images": count,
                "width": width,
                "height": height,
            },
        )
        with connect(server) as client:
            result = follow(client.render(request))
        files = _write_all(out, result)
        if board:
            _write_board(board, request.sketch, result)
    except (CallFailed, ValueError, OSError) as error:
        raise fail(error) from error
    if as_json:
        images = [
            {"file": str(file), "seed": image.seed, "structure_f1": round(image.structure_f1, 4)}
            for file, image in zip(files, result.images, strict=True)
        ]
        typer.echo(json.dumps({"images": images, **facts(result)}, indent=2))
    else:
        _print(result, [*files, board] if board else files)


def _check_files(sketch: Path, out: Path, board: Path | None) -> None:
    """Before the render, so that none is made that cannot be kept."""
    for option, file in (("--out", out), ("--board", board)):
        if file is None:
            continue
        if file.suffix.lower() != ".png":
            raise ValueError(f"{option} is {file}; allowed: a name ending in .png.")
        if file.is_dir():
            raise ValueError(f"{option} is {file}, which is a folder. Name a file in it.")
        if file.resolve() == sketch.resolve():
            raise ValueError(f"{option} is {file}, the sketch itself. Choose another name.")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{option} is {file}; its folder cannot be made: {error}.") from error
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise ValueError(f"{option} is {file}, which may not be written. Choose another place.")
    if board and board.resolve() == out.resolve():
        raise ValueError(f"--board is {board}, and so is --out. Choose another name for one.")


def _set_numbers(request: pb.RenderRequest, numbers: Mapping[str, float | None]) -> None:
    for field, value in numbers.items():
        if value is None:
            continue
        try:
            setattr(request, field, value)
        except ValueError as error:
            raise ValueError(f"{field} is {value}; allowed: {RANGES[field]}.") from error


def follow(events: Iterable[pb.RenderStreamResponse]) -> pb.RenderResponse:
    """Show a render's steps as a progress bar and return its result."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("finding a style", total=None)
        for event in events:
            match event.WhichOneof("event"):
                case "style":
                    progress.update(
                        task, description=f"painting in {escape(event.style.style.name)}"
                    )
                case "progress":
                    steps = event.progress
                    progress.update(task, completed=steps.step, total=steps.steps)
                case "result":
                    return event.result
    raise CallFailed("The gateway ended the render without a picture. Try again.")


def facts(result: pb.RenderResponse) -> dict[str, object]:
    """What a script wants to know of a render."""
    image, seconds = result.images[0], result.timings
    stages = [field.name for field in pb.Timings.DESCRIPTOR.fields]
    width, height = decode(image.png, "render").size
    return {
        "style": result.style.id or None,
        "style_score": round(result.style_score, 4) if result.HasField("style_score") else None,
        "seed": image.seed,
        "structure_f1": round(image.structure_f1, 4),
        "width": width,
        "height": height,
        "warnings": list(result.warnings),
        "seconds": {
            stage.removesuffix("_seconds"): round(getattr(seconds, stage), 3) for stage in stages
        },
    }


def board_of(sketch: bytes, result: pb.RenderResponse) -> list[Panel]:
    """The panels that tell how a render came about."""
    image = result.images[0]
    return [
        Panel(sketch, "sketch"),
        Panel(result.control_image, "edges (Canny)"),
        Panel(result.style_image, f"style: {result.style.id or 'your own'}"),
        Panel(image.png, f"render: structure {image.structure_f1:.2f}"),
    ]


def _write_board(path: Path, sketch: bytes, result: pb.RenderResponse) -> None:
    make_board(board_of(sketch, result)).save(path)


def _print(result: pb.RenderResponse, files: Sequence[Path]) -> None:
    image, seconds = result.images[0], result.timings
    score = f", similarity {result.style_score:.3f}" if result.HasField("style_score") else ""
    rows = {
        "style": f"{result.style.id or 'your own pictures'}{score}",
        "structure": f"{image.structure_f1:.2f} of 1 (edges of the sketch kept)",
        "seed": str(image.seed),
        "time": (
            f"{seconds.total_seconds:.1f} s: queue {seconds.queue_seconds:.2f}, "
            f"finding the style {seconds.embed_seconds + seconds.search_seconds:.2f}, "
            f"conditions {seconds.condition_seconds:.2f}, steps {seconds.denoise_seconds:.2f}, "
            f"decoding {seconds.decode_seconds:.2f}"
        ),
        "size": "{} x {} pixels".format(*decode(image.png, "render").size),
        "wrote": ", ".join(map(str, files)),
    }
    for warning in result.warnings:
        errors.print(f"note: {warning}", style="yellow", markup=False, highlight=False)
    for name, value in rows.items():
        console.print(f"[bold]{name:<10}[/bold]", escape(value), highlight=False)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise fail(f"{path} cannot be read: {error.strerror}") from error


def _write_all(out: Path, result: pb.RenderResponse) -> list[Path]:
    """Write the first picture to `out` and the others beside it, as house-2.png and so on."""
    more = (out.with_stem(f"{out.stem}-{number}") for number in range(2, len(result.images) + 1))
    files = [out, *more]
    for file, image in zip(files, result.images, strict=True):
        file.write_bytes(image.png)
    return files
