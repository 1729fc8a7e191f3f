"""``maquette render``: a sketch and a sentence to a picture."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import progress as bars

from maquette.board import Panel, make_board
from maquette.cli.common import (
    Gateway,
    connected,
    errors,
    fail,
    in_markup,
    in_options,
    note,
    on_gateway,
    print_facts,
    with_options,
)
from maquette.cli.files import check_output, read, write, write_new
from maquette.client import (
    Attempted,
    CallFailed,
    Event,
    Image,
    Progress,
    Result,
    StyleChosen,
    Timings,
)
from maquette.client.results import numbered
from pipeline.errors import shorten
from pipeline.png import size_of
from pipeline.request import FIELDS, RENDERED

NEW = Path("render.png")
"""Where a picture goes that no place is named for, if nothing is there."""
_ASKED_ELSEWHERE = {
    "sketch", "prompt", "image", "mask", "style", "styles", "style_images",
    "canny_low_threshold", "canny_high_threshold", "preview_interval",
}  # fmt: skip
"""Fields whose option is not just their value."""
EDGES = (FIELDS["canny_low_threshold"], FIELDS["canny_high_threshold"])


@with_options(
    {name: field for name, field in FIELDS.items() if name not in _ASKED_ELSEWHERE},
    before="as_json",
)
@on_gateway
def render(
    gateway: Gateway,
    sketch_and_prompt: Annotated[
        list[str],
        typer.Argument(
            metavar="[SKETCH] PROMPT",
            help=f"SKETCH: {FIELDS['sketch'].help} PROMPT: {FIELDS['prompt'].help}",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Picture to write.", show_default="render.png, or the next free one"
        ),
    ] = None,
    board: Annotated[
        Path | None, typer.Option(help="Also write sketch, edges, style and render side by side.")
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID[:WEIGHT]",
            help=f"{FIELDS['style'].help} {FIELDS['styles'].help} Repeatable.",
        ),
    ] = None,
    style_image: Annotated[
        list[Path] | None, typer.Option(help=f"{FIELDS['style_images'].help} Repeatable.")
    ] = None,
    image: Annotated[str | None, typer.Option(help=FIELDS["image"].help)] = None,
    mask: Annotated[Path | None, typer.Option(help=FIELDS["mask"].help)] = None,
    canny: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help=in_options(" ".join(field.described for field in EDGES)), metavar="LOW HIGH"
        ),
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Small picture to write anew at each step.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")] = False,
    **asked: Any,
) -> None:
    """Turn a sketch and a sentence into a render.

    The picture keeps the sketch's edges and wears the style that the library holds nearest to the
    sentence. Start the service first, with `maquette up`.

    Example: maquette render house.png "futuristic neon city at night" -o night.png
    """
    try:
        sketch, prompt = _told_apart(sketch_and_prompt, image)
        pictures = numbered(out, asked["num_images"] or 1) if out else []
        outputs = [*(("--out", picture) for picture in pictures), ("--board", board)]
        file = None if image is None or image.startswith(RENDERED) else Path(image)
        inputs = [path for path in (sketch, file, mask, *(style_image or [])) if path]
        check_output("--out", out or NEW)
        _check_files(inputs, [*outputs, ("--preview", preview)])
        drawing = read(sketch) if sketch else None
        own = [*map(read, style_image or [])]
        named, asked["style_weights"] = _weighed(style or [], asked["style_weights"])
        begun_with = read(file) if file else image
        with connected(gateway) as client:
            events = client.stream(
                drawing,
                prompt,
                style=named[0] if len(named) == 1 else "",
                styles=named if len(named) > 1 else [],
                style_images=own,
                image=begun_with,
                mask=read(mask) if mask else None,
                canny_low_threshold=canny[0] if canny else None,
                canny_high_threshold=canny[1] if canny else None,
                preview_interval=1 if preview else None,
                **asked,
            )
            result = follow(events, preview)
        files = _write(result, out, [board] if board else [])
        if board:
            versions = made_by(result.versions)
            write(board, make_board(board_of(drawing, result, own), versions))
    except (ValueError, OSError) as error:
        raise fail(error) from error
    if as_json:
        images = [
            {"file": str(file), "seed": image.seed, **scores(image)}
            for file, image in zip(files, result.images, strict=True)
        ]
        typer.echo(json.dumps({"images": images, **facts(result)}, indent=2))
    else:
        _print(result, [*files, board] if board else files)


def _told_apart(words: Sequence[str], image: str | None) -> tuple[Path | None, str]:
    """The sketch, if there is one, and the prompt."""
    match words:
        case [sketch, prompt]:
            return Path(sketch), prompt
        case [prompt] if image:
            return None, prompt
    raise ValueError(
        f"The arguments are {shorten(' '.join(words))}; allowed: SKETCH PROMPT, or PROMPT with "
        "--image. Put the prompt in quotation marks."
    )


def _check_files(inputs: Sequence[Path], outputs: Sequence[tuple[str, Path | None]]) -> None:
    """Before the render, so that none is made that cannot be kept, or replaces its own sketch."""
    read_from = {file.resolve() for file in inputs}
    taken: dict[Path, str] = {}
    for option, file in outputs:
        if file is None:
            continue
        check_output(option, file)
        if file.resolve() in read_from:
            raise ValueError(f"{option} is {file}, a picture to render from. Choose another.")
        other = taken.setdefault(file.resolve(), option)
        if other != option:
            raise ValueError(f"{option} is {file}, and so is {other}. Choose another name for one.")


def _weighed(
    styles: Sequence[str], weights: list[float] | None
) -> tuple[list[str], list[float] | None]:
    """The styles, and the weights; `styles` may say theirs themselves, as in winter:0.7."""
    parted = [re.split(r":(?=[0-9]*\.?[0-9]+$)", each, maxsplit=1) for each in styles]
    if len(styles) > 1 and any(weight for _, *weight in parted):
        if weights:
            raise ValueError("--style says weights, and so does --style-weight. Leave one out.")
        weights = [float(weight[0]) if weight else 1.0 for _, *weight in parted]
    return [name for name, *_ in parted], weights


def _write(result: Result, out: Path | None, meant: Collection[Path]) -> list[Path]:
    """Write the pictures to `out` and beside it, or where nothing is or is `meant`; the files."""
    if out:
        files = numbered(out, len(result.images))
        for file, image in zip(files, result.images, strict=True):
            write(file, image.png)
        return files
    files = [write_new(NEW, image.png, meant) for image in result.images]
    if files[0] != NEW:
        note(f"{NEW} is taken, so this is {files[0]}. Choose a name with --out.")
    return files


def follow(events: Iterable[Event], preview: Path | None = None) -> Result:
    """Show a render's steps as a progress bar and return its result.

    Args:
        preview: written anew with each preview of the first picture.
    """
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeElapsedColumn(),
    )
    with bars.Progress(*columns, console=errors, transient=True) as progress:
        task = progress.add_task("finding a style", total=None)
        for event in events:
            match event:
                case StyleChosen():
                    name = in_markup(event.style.name)
                    progress.update(task, description=f"painting in {name}")
                case Progress():
                    progress.update(task, completed=event.step, total=event.steps)
                    if preview and event.previews:
                        write(preview, event.previews[0])
                case Attempted():
                    best = max(one.structure_f1 for one in event.images)
                    told = f"attempt {event.attempt} of {event.max_attempts}: structure {best:.2f}"
                    progress.update(task, description=told)
                case Result():
                    return event
    raise CallFailed("The gateway ended the render without a picture. Try again.")


def facts(result: Result) -> dict[str, object]:
    """What a script wants to know of a render."""
    image, seconds = result.images[0], result.timings
    stages = [field.name for field in fields(Timings)]
    width, height = size_of(image.png)
    return {
        "style": result.style.id if result.style else None,
        "style_score": None if result.style_score is None else round(result.style_score, 4),
        "styles": {each.style.id: round(each.weight or 0, 4) for each in result.styles},
        "seed": image.seed,
        "structure_f1": round(image.structure_f1, 4),
        "sketch_kind": result.sketch_kind,
        "width": width,
        "height": height,
        "attempts": [vars(one) for one in result.attempts],
        "versions": dict(sorted(result.versions.items())),
        "warnings": list(result.warnings),
        "seconds": {
            stage.removesuffix("_seconds"): round(getattr(seconds, stage), 3) for stage in stages
        },
    }


def scores(image: Image) -> dict[str, float]:
    """What a picture is measured by."""
    found = {name: getattr(image, name) for name in ("structure_f1", "clip_score", "style_score")}
    return {name: round(score, 4) for name, score in found.items() if score is not None}


def board_of(sketch: bytes | None, result: Result, own: Sequence[bytes] = ()) -> list[Panel]:
    """The panels that tell how a render came about; `own` are the caller's reference pictures."""
    names = [f"style: {_styles(result)}"] if result.style else _numbered("style: your own", own)
    styles = [result.style_image] if result.style else own
    seeds = [f", seed {image.seed}" if len(result.images) > 1 else "" for image in result.images]
    return [
        *([Panel(sketch, "sketch")] if sketch else []),
        Panel(result.control_image, "edges (Canny)"),
        *map(Panel, styles, names),
        *(
            Panel(image.png, f"render: structure {image.structure_f1:.2f}{seed}")
            for image, seed in zip(result.images, seeds, strict=True)
        ),
    ]


def _similarities(images: Sequence[Image]) -> dict[str, str]:
    """How near the pictures are to prompt and references, as far as that was measured."""
    return {
        name.replace("_", " "): ", ".join(
            f"{each[name]:.3f}" for each in map(scores, images) if name in each
        )
        for name in ("clip_score", "style_score")
    }


def _styles(result: Result) -> str:
    """The library's styles that were used, with weights where there are several."""
    several = len(result.styles) > 1
    weighed = (f"{each.style.id} {each.weight or 0:.2g}" for each in result.styles)
    return ", ".join(weighed) if several else result.style.id if result.style else ""


def _numbered(name: str, pictures: Sequence[bytes]) -> list[str]:
    """`name` for each, with its number where there are several."""
    several = len(pictures) > 1
    return [f"{name} {n}" if several else name for n, _ in enumerate(pictures, 1)]


def made_by(versions: Mapping[str, int]) -> str:
    """The versions of the networks that made a render, in words."""
    return ", ".join(f"{network} {version}" for network, version in sorted(versions.items()))


def _print(result: Result, files: Sequence[Path]) -> None:
    images, seconds = result.images, result.timings
    score = "" if result.style_score is None else f", similarity {result.style_score:.3f}"
    structure = ", ".join(f"{image.structure_f1:.2f}" for image in images)
    rows = {
        "style": f"{_styles(result) or 'your own pictures'}{score}",
        "structure": f"{structure} of 1 (edges of the sketch kept)",
        **_similarities(images),
        "attempts": ", ".join(
            f"{one.structure_f1:.2f} (seed {one.seed})" for one in result.attempts
        ),
        "seed": ", ".join(str(image.seed) for image in images),
        "time": (
            f"{seconds.total_seconds:.1f} s: queue {seconds.queue_seconds:.2f}, "
            f"finding the style {seconds.embed_seconds + seconds.search_seconds:.2f}, "
            f"conditions {seconds.condition_seconds:.2f}, steps {seconds.denoise_seconds:.2f}, "
            f"decoding {seconds.decode_seconds:.2f}"
        ),
        "size": "{} x {} pixels".format(*size_of(images[0].png)),
        "versions": made_by(result.versions),
        "wrote": ", ".join(map(str, files)),
    }
    for warning in result.warnings:
        note(in_options(warning))
    print_facts({name: value for name, value in rows.items() if value})
