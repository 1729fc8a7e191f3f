"""NVIDIA's perf_analyzer on single models at Triton, and on whole renders through the gateway."""

from __future__ import annotations

import base64
import csv
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from bench import engines
from bench.context import PROMPT, SIDE
from bench.engines import Arrays
from bench.stack import Stack
from evaluation.console import Task
from maquette.client import connect
from maquette.paths import EXAMPLE_SKETCH
from pipeline.errors import Unavailable
from tools.perf_analyzer import PerfAnalyzer, perf_analyzer

RENDER = "sketch_to_render"
RENDER_STEPS = 4
TEXTS = 5000
COLUMNS = ("model", "batch", "concurrency", "inferences/s", "p50 ms", "p95 ms", "p99 ms")


@dataclass(frozen=True)
class Load:
    """What one run of perf_analyzer asks for."""

    model: str
    batch: int
    concurrency: int
    """Requests in flight."""
    seconds: int
    """Of each of the three windows that perf_analyzer takes together."""

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.model}-batch-{self.batch or 1}-concurrency-{self.concurrency}"


LOADS = (
    Load("tokenizer", 1, 1, 1),
    Load("tokenizer", 1, 4, 1),
    Load("text_encoder", 2, 1, 1),
    Load("text_encoder", 2, 4, 1),
    Load("unet", 2, 1, 2),
    Load("unet", 2, 8, 4),
    Load("unet", 16, 1, 4),
    Load("vae_decoder", 1, 1, 2),
    Load("vae_decoder", 1, 4, 2),
    Load(RENDER, 0, 1, 4),
    Load(RENDER, 0, 8, 10),
)


def measure(stack: Stack, out: Path, task: Task) -> Table:
    """Run every load over `stack`; requests, tables and logs are written to `out`."""
    command = perf_analyzer()
    write_requests(stack, out)
    table = Table(*COLUMNS)
    with task("perf_analyzer", len(LOADS)) as advance:
        for load in LOADS:
            table.add_row(*_run(command, load, stack, out))
            advance()
    return table


def write_requests(stack: Stack, out: Path) -> None:
    """One request of each model, as perf_analyzer reads them: what a render would send."""
    sketch = EXAMPLE_SKETCH.read_bytes()
    with connect(stack.address) as client:
        style = next(client.styles())
        _, picture = client.get_style(style.id)
    inputs = engines.real_inputs(stack.triton, sketch, picture, PROMPT, SIDE)
    with engines.loaded(stack) as running:
        asked = running.give(inputs, ())
    for model in ("unet", "vae_decoder"):
        _write(out, model, [row(asked[model], 0)])
    _write(out, "text_encoder", [{"input_ids": ids.tolist()} for ids in texts(asked)])
    _write(out, "tokenizer", [{"text": element(PROMPT.encode())}])
    render = {"sketch": element(sketch), "prompt": element(PROMPT.encode())}
    _write(out, RENDER, [{**render, "num_inference_steps": [RENDER_STEPS]}])


def element(data: bytes) -> dict[str, str]:
    """Bytes as perf_analyzer reads them: base64 of their length and themselves."""
    return {"b64": base64.b64encode(struct.pack("<I", len(data)) + data).decode()}


def row(arrays: Arrays, index: int) -> dict[str, Any]:
    """One row of a batch."""
    return {
        name: {"content": array[index].reshape(-1).tolist(), "shape": list(array[index].shape)}
        for name, array in arrays.items()
    }


def texts(asked: Mapping[str, Arrays]) -> npt.NDArray[np.int64]:
    """Token ids ``[TEXTS, 77]``, each row another, as callers' are."""
    ids = asked["text_encoder"]["input_ids"]
    return np.random.default_rng(0).integers(0, ids.max(), (TEXTS, ids.shape[1]))


def _write(out: Path, model: str, data: list[Mapping[str, Any]]) -> None:
    (out / f"{model}.json").write_text(json.dumps({"data": data}) + "\n", encoding="utf-8")


def _run(command: PerfAnalyzer, load: Load, stack: Stack, out: Path) -> list[str]:
    """Its row of the table."""
    address = stack.address if load.model == RENDER else stack.triton_address
    table = out / f"{load.name}.csv"
    table.unlink(missing_ok=True)
    batch = ["-b", str(load.batch)] if load.batch else []
    done = command.run(
        *("-m", load.model, "-u", address, "-i", "grpc", *batch),
        *("--input-data", str(out / f"{load.model}.json")),
        *("--concurrency-range", str(load.concurrency)),
        *("--measurement-interval", str(1000 * load.seconds)),
        # Three windows whatever they are like: on a busy machine no three are alike.
        *("--max-trials", "3", "--stability-percentage", "999"),
        *("-f", str(table)),
    )
    (out / f"{load.name}.log").write_text(done.stdout, encoding="utf-8")
    if done.returncode or not table.exists():
        said = re.search(r"^(Error|Failed|error).*$", done.stdout, re.MULTILINE)
        why = said[0] if said else f"it ended with {done.returncode}"
        raise Unavailable(f"perf_analyzer on {load.name}: {why} ({out / load.name}.log)")
    with table.open(encoding="utf-8") as file:
        return _shown(load, next(csv.DictReader(file)))


def _shown(load: Load, measured: Mapping[str, str]) -> list[str]:
    milliseconds = [float(measured[f"p{share} latency"]) / 1000 for share in (50, 95, 99)]
    return [
        load.model,
        str(load.batch or 1),
        measured["Concurrency"],
        f"{float(measured['Inferences/Second']):.2f}",
        *(f"{one:.1f}" for one in milliseconds),
    ]
