"""ONNX to a TensorRT engine. *Unrun*: no machine of ours has had TensorRT's builder yet.

Tests go up to the calls into TensorRT: profiles, flags, cache and record.
"""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path
from typing import Any

from export.files import PackError
from export.pack import Pack
from export.shapes import Widths, dims
from pipeline.request import RANGES, SIZE_STEP
from pipeline.topology import MAX_CHUNKS

PLAN_FILE = "model.plan"
CACHE_FILE = ".tensorrt-timing.cache"
WORKSPACE = 8 << 30
"""Bytes that a layer's trial may take while building."""
USUAL_ROWS = 2
"""One image with guidance."""

Profile = dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]
"""By input: the smallest, the usual and the largest shape."""


def profile_of(network: str, pack: Pack) -> Profile:
    """The shapes that `network` must take, from the contract's rows and a request's sizes."""
    widths = Widths.of(pack)
    factor = widths.topology.vae_scale_factor
    # A tile at the edge of a picture may be as small as a size's step.
    smallest = SIZE_STEP // factor
    largest = min(int(RANGES[side].high) for side in ("width", "height")) // factor
    usual = int(pack.facts()["native_size"]) // factor
    model = pack.model(network)
    points = (
        (1, smallest, 1),
        (USUAL_ROWS, usual, 1),
        (model.max_batch_size, largest, MAX_CHUNKS),
    )
    profile = {}
    for tensor in model.inputs:
        low, middle, high = (
            (rows, *dims(tensor, widths, side, side, chunks)) for rows, side, chunks in points
        )
        profile[tensor.name] = (low, middle, high)
    return profile


def build_plan(network: str, pack: Pack, path: Path, precision: str) -> dict[str, str]:
    """Build ``model.plan`` beside the ONNX file at `path`, on the GPU that will serve it.

    The network is strongly typed: which layers are fp16 was decided, and checked, in the file.

    Returns:
        What the engine is tied to, and its profile.

    Raises:
        PackError: there is no TensorRT here, or it cannot build the network.
    """
    trt, gpu = _library(), _gpu()
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    definition = builder.create_network(typed)
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse_from_file(str(path)):
        reasons = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise PackError(f"TensorRT {trt.__version__} cannot read {network}: {reasons}.")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    shapes = profile_of(network, pack)
    profile = builder.create_optimization_profile()
    for name, (low, middle, high) in shapes.items():
        profile.set_shape(name, low, middle, high)
    config.add_optimization_profile(profile)
    # Timings are kept for all networks and later builds, which then take minutes less.
    cache_file = path.parents[2] / CACHE_FILE
    known = cache_file.read_bytes() if cache_file.exists() else b""
    if not config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False):
        # Those of another GPU or another TensorRT are of no use.
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise PackError(
            f"TensorRT {trt.__version__} could not build {network}; its reasons are above. "
            "Free GPU memory, or export with --engine onnx."
        )
    path.with_name(PLAN_FILE).write_bytes(plan)
    timings = config.get_timing_cache()
    if timings is not None:
        cache_file.write_bytes(timings.serialize())
    return {
        "tensorrt": trt.__version__,
        "gpu": gpu,
        "precision": precision,
        "profile": "; ".join(
            f"{name} {' '.join('x'.join(map(str, shape)) for shape in points)}"
            for name, points in shapes.items()
        ),
    }


def _library() -> Any:
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:
        raise PackError(
            "There is no TensorRT in this environment. Build its engines in the export image "
            "(docker/README.md), or export with --engine onnx."
        ) from error


def tied_to() -> str:
    """What an engine that is built here fits: TensorRT's version and the GPU.

    Raises:
        PackError: one of them is not here.
    """
    return f"{_library().__version__} {_gpu()}"


def _gpu() -> str:
    """The first GPU's name and compute capability."""
    query = ["nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        told = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackError(
            "TensorRT builds on the GPU that will serve, and nvidia-smi finds none. Check the "
            "driver, or export with --engine onnx."
        ) from error
    name, capability = told.splitlines()[0].rsplit(",", maxsplit=1)
    return f"{name} (compute capability {capability.strip()})"
