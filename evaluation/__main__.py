"""``python -m evaluation``: see ``--help``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from evaluation import report
from evaluation.bars import BARS, FEW_STEPS_BARS, Bar, table
from evaluation.console import ending_in_one_sentence, progress_bar
from evaluation.measures import Evaluation
from evaluation.painters import Painter
from maquette.cli.common import fail
from pipeline.errors import Unavailable
from pipeline.presets import FEW_STEPS
from pipeline.request import DEFAULTS
from training.styles import STYLES
from versions import durable

app = typer.Typer(no_args_is_help=True)

LEAST = len(STYLES)
Renders = Annotated[int, typer.Option(help="Held-out renders, the styles in turn.", min=LEAST)]
Variants = Annotated[
    int, typer.Option(help="How many of them are also asked for in four other ways.", min=LEAST)
]
Out = Annotated[Path, typer.Option(help=f"Folder of {', '.join(report.FILES)}.")]
FewSteps = Annotated[
    bool,
    typer.Option(
        "--few-steps",
        help="Four steps of lcm without guidance, over the UNet with the LCM-LoRA; "
        "looser bars, into few-steps/ in that folder.",
    ),
]


@app.callback()
def main() -> None:
    """Measure what a pack can do on held-out sketches, styles and phrases.

    Ends with 1 when a bar is missed.
    """


@app.command()
def served(
    renders: Renders = 96,
    variants: Variants = 24,
    out: Out = Path("out/eval"),
    few_steps: FewSteps = False,
) -> None:
    """Start the stack over what is exported, and measure it through its doors."""
    _check(renders, variants)
    out = _folder(out, few_steps)
    with ending_in_one_sentence(), _serving(out, few_steps) as painter:
        _measure(painter, renders, variants, out, _bars(few_steps))


@app.command("torch")
def without_triton(
    pack: Annotated[Path, typer.Argument(help="The pack's folder.")],
    renders: Renders = 24,
    variants: Variants = 12,
    out: Out = Path("out/eval-torch"),
    guidance_scale: Annotated[float, typer.Option(help="Classifier-free guidance.")] = DEFAULTS[
        "guidance_scale"
    ],
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    few_steps: FewSteps = False,
) -> None:
    """Measure a pack in torch, before it is exported."""
    from evaluation.in_torch import TorchPainter
    from export.files import PackError
    from export.pack import Pack
    from export.quiet import quiet_libraries

    _check(renders, variants)
    out = _folder(out, few_steps)
    quiet_libraries()
    settings = FEW_STEPS if few_steps else {"guidance_scale": guidance_scale}
    try:
        painter = TorchPainter(Pack(pack, few_steps), device, settings)
    except PackError as error:
        raise fail(error) from error
    _measure(painter, renders, variants, out, _bars(few_steps))


@contextmanager
def _serving(out: Path, few_steps: bool) -> Iterator[Painter]:
    """A stack with a library of its own that holds the bundled styles."""
    from tritonclient.grpc import InferenceServerClient

    from evaluation.served import ServedPainter
    from maquette.cli.up import fill_empty_library, started
    from maquette.client import connect
    from maquette.paths import MODEL_REPOSITORY
    from serving.ports import LOOPBACK
    from serving.stack import Options
    from versions import aliases
    from versions.served import models_of

    if few_steps and "denoiser_lcm" not in models_of(MODEL_REPOSITORY):
        raise Unavailable(
            f"The engines in {MODEL_REPOSITORY} hold no UNet for few steps. "
            "Export a pack that has an LCM-LoRA in lcm_lora/."
        )
    with TemporaryDirectory(prefix="maquette-eval-") as library:
        own = {"MAQUETTE_LIBRARY": library, "MAQUETTE_QDRANT_URL": ""}
        options = Options(MODEL_REPOSITORY, out / "state", gateway_settings=own)
        with started(options) as stack:
            fill_empty_library(stack.address)
            triton = InferenceServerClient(stack.triton.address, channel_args=list(LOOPBACK))
            with connect(stack.address) as gateway, triton:
                settings = FEW_STEPS if few_steps else {}
                yield ServedPainter(gateway, triton, settings, aliases.read(MODEL_REPOSITORY))


def _check(renders: int, variants: int) -> None:
    if variants > renders:
        raise fail(f"--variants is {variants}; allowed: at most --renders ({renders}).")


def _folder(out: Path, few_steps: bool) -> Path:
    return out / "few-steps" if few_steps else out


def _bars(few_steps: bool) -> tuple[Bar, ...]:
    return FEW_STEPS_BARS if few_steps else BARS


def _measure(
    painter: Painter, renders: int, variants: int, out: Path, bars: tuple[Bar, ...] = BARS
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # Files of a run before must not stand beside those of one that breaks off.
    for file in report.FILES:
        (out / file).unlink(missing_ok=True)
    total = report.renders_to_make(renders, variants)
    with progress_bar("renders", total) as advance:
        found = report.measure(Evaluation(painter, advance), renders, variants, out)
    durable.write_json(out / "report.json", found)
    console = Console()
    others = (
        "clip_score", "style_score", "structure_f1_one_attempt", "structure_f1_three_attempts",
        "blend_shows_both",
    )  # fmt: skip
    console.print(table(found, bars, others), _rows(found, "style"), _rows(found, "profile"))
    for file in report.FILES:
        console.print(f"wrote {out / file}", highlight=False)
    if not all(bar.holds(found) for bar in bars):
        raise typer.Exit(1)


def _rows(found: dict[str, Any], of: str) -> Table:
    """The figures of each style, or of each profile."""
    by_name = found[f"{of}s"]
    figures = [*next(iter(by_name.values()))]
    rows = Table(of, *(figure.replace("_", " ") for figure in figures))
    for name, row in by_name.items():
        rows.add_row(name, *(f"{row[figure]:.3f}" for figure in figures))
    return rows


if __name__ == "__main__":
    app()
