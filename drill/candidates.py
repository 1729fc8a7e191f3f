"""Engines to publish: a good one that is told from its source by its pictures, and bad ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from versions import manifest

TINT = 0.05
"""What the good UNet adds to the first latent channel of all the noise it finds. Every step shifts
the picture's colours a little, so that one step by another version shows in the pixels."""
LAST_BIAS = "conv_out.bias"
NOISE = 0.05
"""Of the weights' own spread: a network that paints nearly the same pictures, and is worse."""
SEED = 7

Array = npt.NDArray[np.float32]
Change = Callable[[str, Array], Array]


def tinted(source: Path, target: Path) -> Path:
    """A good UNet in the folder `target`, made of the one in `source`."""

    def tint(name: str, weights: Array) -> Array:
        channels = np.eye(1, len(weights), dtype=np.float32)[0] if weights.ndim else 0
        return weights + TINT * channels if name.endswith(LAST_BIAS) else weights

    return _changed(source, target, tint)


def noisy(source: Path, target: Path, share: float = NOISE) -> Path:
    """A worse one: normal noise on each weight, of `share` times its tensor's deviation."""
    random = np.random.default_rng(SEED)

    def disturb(_name: str, weights: Array) -> Array:
        # Vectors are left alone: among them are sizes, which are no weights.
        if weights.ndim < 2:
            return weights
        return weights + share * weights.std() * random.standard_normal(weights.shape)

    return _changed(source, target, disturb)


def not_a_number(source: Path, target: Path) -> Path:
    """A broken one: a NaN among its last weights, as a training that diverged leaves them."""

    def spoil(name: str, weights: Array) -> Array:
        return weights * np.nan if name.endswith(LAST_BIAS) else weights

    return _changed(source, target, spoil)


def corrupt(source: Path, target: Path) -> Path:
    """No engine at all: bytes under an engine's name, and a manifest that agrees with them."""
    _copied(source, target)
    engine = _engine(target)
    engine.write_bytes(engine.read_bytes()[: engine.stat().st_size // 2])
    return _named(target)


def _changed(source: Path, target: Path, change: Change) -> Path:
    _copied(source, target)
    model = onnx.load(str(_engine(target)))
    for tensor in _weights(model.graph):
        weights = change(tensor.name, numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, str(_engine(target)))
    return _named(target)


def _weights(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Of `graph` and the graphs in its branches."""
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            yield tensor
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _weights(attribute.g)


def _copied(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def _engine(folder: Path) -> Path:
    return folder / manifest.read(folder).engine


def _named(folder: Path) -> Path:
    """`folder`, whose manifest names what is in it now."""
    found = manifest.read(folder)
    manifest.write(folder, replace(found, files=manifest.digests(folder)))
    return folder
