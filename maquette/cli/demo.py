"""``maquette demo``: the whole chain once, from starting Triton to a board to look at."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Annotated

import tritonclient.grpc
import typer

from maquette.board import make_board
from maquette.cli.common import console, fail
from maquette.cli.files import write
from maquette.cli.render import board_of, facts, follow, made_by
from maquette.cli.style_folders import find_pictures
from maquette.cli.styles import add_all
from maquette.cli.up import HTTP_PORT, ends_on_signal, started
from maquette.client import CallFailed, Result, connect
from maquette.paths import EXAMPLE_SKETCH, EXAMPLE_STYLES, MODEL_REPOSITORY
from pipeline.errors import MaquetteError
from serving.stack import Options, Stack
from versions import durable

PROMPT = "futuristic neon city at night"
SEED = 7
NOT_OURS = ("MAQUETTE_QDRANT_URL", "MAQUETTE_TLS_CERTIFICATE", "MAQUETTE_TLS_KEY", "MAQUETTE_AUDIT")
"""Settings of the user's service, which a demo leaves alone."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("out/demo"),
    sketch: Annotated[Path, typer.Option(help="The sketch.")] = EXAMPLE_SKETCH,
    prompt: Annotated[str, typer.Option(help="The sentence.")] = PROMPT,
) -> None:
    """Start everything, add the bundled styles, render a bundled sketch, stop everything.

    Writes render.png, board.png and report.json.
    """
    begun = time.perf_counter()
    try:
        drawing = sketch.read_bytes()
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fail(f"{error.filename}: {error.strerror}") from error
    # A library of its own, made anew: a demo neither touches the user's nor trips over an old one.
    library = out / "state" / "library"
    shutil.rmtree(library, ignore_errors=True)
    own = {"MAQUETTE_LIBRARY": str(library), **dict.fromkeys(NOT_OURS, ""), "MAQUETTE_AUTH": "off"}
    options = Options(MODEL_REPOSITORY, state=out / "state", gateway_settings=own)
    try:
        with ends_on_signal(), started(options) as serving:
            up_seconds = time.perf_counter() - begun
            result, styles_seconds = _render(serving, drawing, prompt)
            version, ready = _triton_facts(serving.triton.address)
    except (MaquetteError, CallFailed, OSError) as error:
        raise fail(error) from error
    except KeyboardInterrupt as error:
        raise fail("interrupted; everything is stopped") from error

    write(out / "render.png", result.images[0].png)
    write(out / "board.png", make_board(board_of(drawing, result), made_by(result.versions)))
    report = facts(result)
    report["seconds"] = {
        "start": round(up_seconds, 3),
        "styles": round(styles_seconds, 3),
        **dict(report["seconds"]),  # type: ignore[call-overload]
        "demo": round(time.perf_counter() - begun, 3),
    }
    report |= {"prompt": prompt, "triton_version": version, "models_ready": ready}
    write(out / "report.json", durable.json_text(report).encode())
    console.print_json(json.dumps(report))
    for file in ("render.png", "board.png", "report.json"):
        console.print(f"wrote {out / file}", highlight=False)
    console.print(
        "Draw your own: `make up` (without a checkout, `maquette up`) serves the studio at "
        f"http://127.0.0.1:{HTTP_PORT}/",
        highlight=False,
        soft_wrap=True,
    )


def _render(serving: Stack, sketch: bytes, prompt: str) -> tuple[Result, float]:
    with connect(serving.address) as client:
        started_at = time.perf_counter()
        _, failures = add_all(client, find_pictures([EXAMPLE_STYLES]).entries)
        if failures:
            raise CallFailed(f"bundled style {failures[0][0].name}: {failures[0][1]}")
        styles_seconds = time.perf_counter() - started_at
        return follow(client.stream(sketch, prompt, seed=SEED)), styles_seconds


def _triton_facts(address: str) -> tuple[str, int]:
    with tritonclient.grpc.InferenceServerClient(address) as client:
        models = client.get_model_repository_index().models
        return client.get_server_metadata().version, sum(m.state == "READY" for m in models)
