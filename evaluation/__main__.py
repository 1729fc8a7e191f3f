"""``python -m evaluation``: see ``--help``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evaluation import report
from evaluation.measures import Evaluation, Report
from evaluation.painters import Painter

app = typer.Typer(no_args_is_help=True)

Renders = Annotated[int, typer.Option(help="Held-out renders, the styles in turn.", min=12)]
Variants = Annotated[
    int, typer.Option(help="How many of them are also asked for without a condition.", min=12)
]
Out = Annotated[Path, typer.Option(help="Folder of report.json, sheet.png and hands.png.")]


@app.callback()
def main() -> None:
    """Measure what a pack can do on held-out sketches, styles and phrases."""


@app.command()
def served(renders: Renders = 96, variants: Variants = 48, out: Out = Path("out/eval")) -> None:
    """Start the stack over what is exported, and measure it through its doors."""
    from maquette.cli.common import fail
    from maquette.cli.up import ends_on_signal
    from maquette.client import CallFailed
    from pipeline.errors import MaquetteError

    try:
        with ends_on_signal(), _serving(out) as painter:
            _measure(painter, renders, variants, out)
    except (MaquetteError, CallFailed, OSError) as error:
        raise fail(error) from error
    except KeyboardInterrupt as error:
        raise fail("interrupted; everything is stopped") from error


@app.command("torch")
def in_torch(
    pack: Annotated[Path, typer.Argument(help="The pack's folder.")],
    renders: Renders = 24,
    variants: Variants = 12,
    out: Out = Path("out/eval-torch"),
    guidance_scale: Annotated[float, typer.Option(help="Classifier-free guidance.")] = 7.5,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Measure a pack in torch, before it is exported."""
    from evaluation.in_torch import TorchPainter
    from export.pack import Pack
    from export.quiet import quiet_libraries

    quiet_libraries()
    painter = TorchPainter(Pack(pack), device, {"guidance_scale": guidance_scale})
    _measure(painter, renders, variants, out)


@contextmanager
def _serving(out: Path) -> Iterator[Painter]:
    """A stack with a library of its own that holds the bundled styles."""
    import shutil

    from tritonclient.grpc import InferenceServerClient

    from evaluation.served import ServedPainter
    from maquette.cli.up import fill_empty_library, started
    from maquette.client import connect
    from maquette.paths import MODEL_REPOSITORY
    from serving.stack import Options

    library = out / "state" / "library"
    shutil.rmtree(library, ignore_errors=True)
    own = {"MAQUETTE_LIBRARY": str(library), "MAQUETTE_QDRANT_URL": ""}
    with started(Options(MODEL_REPOSITORY, out / "state", gateway_settings=own)) as stack:
        fill_empty_library(stack.address)
        with (
            connect(stack.address) as gateway,
            InferenceServerClient(stack.triton.address) as triton,
        ):
            yield ServedPainter(gateway, triton)


def _measure(painter: Painter, renders: int, variants: int, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    total = renders + report.VARIANTS * variants + report.HANDS
    with _progress(total) as advance:
        found = report.measure(Evaluation(painter, advance), renders, variants, out)
    (out / "report.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console = Console()
    console.print(_bars(found), _styles(found))
    for file in ("report.json", "sheet.png", "hands.png"):
        console.print(f"wrote {out / file}", highlight=False)


@contextmanager
def _progress(total: int) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("renders", total=total)
        yield lambda count: progress.advance(task, count)


def _bars(found: dict[str, Any]) -> Table:
    table = Table("measure", "found", "bar", "")
    for bar in report.BARS:
        verdict = "[green]reached[/green]" if bar.holds(found) else "[red]missed[/red]"
        sign = "≥" if bar.allowed == ">=" else "≤"
        table.add_row(
            bar.measure, f"{found[bar.measure]:.3f}", f"{sign} {bar.limit(found):.3f}", verdict
        )
    return table


def _styles(found: dict[str, Any]) -> Table:
    table = Table("style", "structure F1", "style right")
    for name, row in found["styles"].items():
        table.add_row(name, f"{row['structure_f1']:.3f}", f"{row['style_accuracy']:.2f}")
    return table


if __name__ == "__main__":
    app()
