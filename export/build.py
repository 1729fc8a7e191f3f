"""One network to one engine: which steps each kind of engine takes, and its proof."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from pathlib import Path

from export import tensorrt
from export.asked import Build
from export.attention import fused, plain
from export.half import halve
from export.networks import wrap
from export.onnx import (
    CPU,
    Array,
    Inputs,
    Parity,
    check_parity,
    export_network,
    mark_tensors,
    run_torch,
)
from export.pack import Pack
from export.skip import skip_where_unwanted
from export.trials import available_gpu, check_half, large_tensors, rounding, trial_inputs

ONNX_FILE = "model.onnx"
MARK_DIGITS = 8
Trials = list[tuple[Inputs, list[Array]]]
"""Inputs, and torch's outputs for them in fp32."""


@dataclass(frozen=True)
class Built:
    """An engine that lies in its folder, and what is known of it."""

    parity: Parity
    fused: dict[str, int] = field(default_factory=dict)
    """Operators that stand for several, by name."""
    hardware: dict[str, str] = field(default_factory=dict)
    """What it was checked on and, for TensorRT, what it is tied to."""


def build_network(network: str, pack: Pack, folder: Path, build: Build) -> Built:
    """Write the engine of `network` into the empty `folder`.

    Where it fails its check, what lies in `folder` must not be served.
    """
    precision = build.precision_of(network)
    module = wrap(network, pack, fused if build.engine == "onnx" else plain)
    path = folder / ONNX_FILE
    export_network(network, module, pack, path)
    if network == "controlnet" and (build.engine, precision) == ("onnx", "fp32"):
        skip_where_unwanted(path, pack)
    if build.engine == "onnx-tensorrt":
        mark_tensors(path, pack.digest(network)[:MARK_DIGITS])
    gc.collect()  # the exporter leaves cycles, which hold gigabytes at full size
    built = Built(check_parity(network, module, pack, path), hardware={"checked_on": CPU})
    if built.parity.passed and precision == "fp16":
        trials = [(inputs, run_torch(module, inputs)) for inputs in trial_inputs(network, pack)]
        # From here on the memory is the file's.
        del module
        pack.release()
        built = _to_half(network, path, trials, fuse=build.engine == "onnx")
    if built.parity.passed and build.engine == "tensorrt":
        hardware = tensorrt.build_plan(network, pack, path, precision)
        for file in folder.glob(f"{ONNX_FILE}*"):
            file.unlink()
        built = Built(built.parity, built.fused, {**built.hardware, **hardware})
    return built


def _to_half(network: str, path: Path, trials: Trials, *, fuse: bool) -> Built:
    """Replace the fp32 network at `path` by one with fp16 inside.

    The operators that are fused for GPUs do not run on a CPU. What is always checked is the same
    conversion without them, every tensor rounded as a GPU does; the fused one too where there is a
    GPU.
    """
    large = large_tensors(path, (inputs for inputs, _ in trials))
    half = path.with_name("half") / ONNX_FILE
    half.parent.mkdir()
    counted = halve(path, half, network, large, fuse=False)
    provider = CPU
    parity = check_half(rounding(half), trials, provider)
    if fuse and parity.passed:
        _empty(half.parent)
        counted = halve(path, half, network, large, fuse=True)
        gpu = available_gpu()
        if gpu:
            provider = gpu
            parity = check_half(half, trials, provider)
    for file in path.parent.glob(f"{ONNX_FILE}*"):
        file.unlink()
    for file in half.parent.glob(f"{ONNX_FILE}*"):
        file.rename(path.parent / file.name)
    _empty(half.parent)
    half.parent.rmdir()
    return Built(parity, dict(counted), {"checked_on": provider})


def _empty(folder: Path) -> None:
    """ONNX appends to a file of weights that it finds."""
    for file in folder.iterdir():
        file.unlink()
