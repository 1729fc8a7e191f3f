"""One network from torch to ONNX, and the proof that both say the same."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from export.pack import Pack
from export.shapes import Size, Widths, dims
from pipeline import contract
from pipeline.topology import MAX_CHUNKS

OPSET = 20
TOLERANCE = 3e-5
"""Largest difference between torch and ONNX Runtime, relative to the largest value (at least 1)."""
CPU = "CPUExecutionProvider"
Array = npt.NDArray[Any]
Inputs = dict[str, Tensor]


LARGEST_INSIDE = 1_000_000_000
"""Bytes of weights inside the ONNX file; a protobuf ends at 2 GiB, and is read at once."""
EXPORT_SIZE = Size(batch=2, height=16, width=24)
CHECKED_SIZES = (
    EXPORT_SIZE,
    Size(batch=3, height=32, width=16, chunks=MAX_CHUNKS),
    Size(batch=1, height=16, width=16),
)
"""Parity is checked at sizes the exporter never saw, so that a frozen dimension is caught."""


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime's outputs are from torch's."""

    error: float
    tolerance: float = TOLERANCE

    @property
    def passed(self) -> bool:
        """Whether the network may be served."""
        return self.error <= self.tolerance


def example_inputs(network: str, pack: Pack, size: Size, seed: int) -> dict[str, Tensor]:
    """Random inputs of `network` in the contract's dtypes and dims."""
    random = torch.Generator().manual_seed(seed)
    widths = Widths.of(pack)
    inputs = {}
    for tensor in pack.model(network).inputs:
        shape = (size.batch, *dims(tensor, widths, size.height, size.width, size.chunks))
        match tensor.dtype, tensor.name:
            case "INT64", _:
                ids = torch.randint(0, widths.vocabulary - 2, shape, generator=random)
                ids[:, 5:] = widths.vocabulary - 1
                inputs[tensor.name] = ids
            case "UINT8", _:
                bits = torch.randint(0, 2, shape, generator=random)
                inputs[tensor.name] = (bits * 255).to(torch.uint8)
            case _, "timestep":
                inputs[tensor.name] = torch.rand(shape, generator=random) * 999
            case _:
                inputs[tensor.name] = torch.randn(shape, generator=random)
    return inputs


def export_network(network: str, module: nn.Module, pack: Pack, path: Path) -> None:
    """Write `module` to `path` as ONNX with the contract's names and dynamic sizes.

    Weights that do not fit into one protobuf go into a file beside it.
    """
    weights = sum(weight.numel() * weight.element_size() for weight in module.parameters())
    model = pack.model(network)
    inputs = example_inputs(network, pack, EXPORT_SIZE, seed=0)
    with quiet_exporter():
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=[tensor.name for tensor in model.outputs],
            dynamic_shapes=_dynamic(model, len(pack.topology.residuals)),
            external_data=weights > LARGEST_INSIDE,
            verbose=False,
        )


def mark_tensors(path: Path, mark: str) -> None:
    """Put `mark` into the names of the tensors inside the network at `path`.

    ONNX Runtime's TensorRT provider keeps what it compiled under the names of file and tensors, so
    it would take a network of the same graph with other weights for this one.
    """
    model = onnx.load(path, load_external_data=False)
    declared = {output.name for output in model.graph.output}
    inside = {name for node in model.graph.node for name in node.output} - declared
    marked = {name: f"{name}.{mark}" for name in inside if name}
    for node in model.graph.node:
        node.input[:] = [marked.get(name, name) for name in node.input]
        node.output[:] = [marked.get(name, name) for name in node.output]
    for info in model.graph.value_info:
        info.name = marked.get(info.name, info.name)
    path.write_bytes(model.SerializeToString())


def _dynamic(model: contract.Model, residuals: int) -> tuple[object, ...]:
    """Batch and every size the contract leaves open; the exporter finds which of them are fixed.

    Args:
        residuals: how many inputs of the UNet, its last ones, are ControlNet's.
    """
    auto = torch.export.Dim.AUTO
    shapes = [
        {0: auto, **{axis + 1: auto for axis, dim in enumerate(tensor.dims) if dim == -1}}
        for tensor in model.inputs
    ]
    if model.name == "unet":
        return (*shapes[:-residuals], tuple(shapes[-residuals:]))
    return tuple(shapes)


def check_parity(network: str, module: nn.Module, pack: Pack, path: Path) -> Parity:
    """Run `module` and the ONNX file on the same inputs, at several sizes."""
    session = onnxruntime.InferenceSession(str(path), providers=[CPU])
    errors = []
    for seed, size in enumerate(CHECKED_SIZES, start=1):
        inputs = example_inputs(network, pack, size, seed)
        pairs = zip(run_torch(module, inputs), run_onnx(session, inputs), strict=True)
        errors += [_difference(*pair) for pair in pairs]
    return Parity(error=max(errors))


def run_torch(module: nn.Module, inputs: Inputs) -> list[Array]:
    """`module`'s outputs as arrays."""
    with torch.inference_mode():
        outputs = module(*inputs.values())
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    return [tensor.numpy() for tensor in tensors]


def run_onnx(session: onnxruntime.InferenceSession, inputs: Inputs) -> list[Array]:
    """The network's outputs for the same inputs."""
    found: list[Array] = session.run(None, {name: t.numpy() for name, t in inputs.items()})
    return found


def _difference(wanted: Array, found: Array) -> float:
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(wanted - found).max() / max(1.0, np.abs(wanted).max()))


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Without torch's notes to its own developers, which would bury the parity table."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
