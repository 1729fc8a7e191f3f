"""Trials of a network in fp16: where it leaves fp16's range, and whether it still says the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnxruntime
from onnx import FunctionProto, ModelProto, TensorProto
from torch import Tensor

from export.onnx import CPU, Array, Inputs, Parity, example_inputs, run_onnx
from export.pack import Pack
from export.shapes import Size
from pipeline import contract

HALF_TOLERANCE = 1e-3
"""Largest difference from 1 of the cosine between fp16's outputs and fp32's."""
EXTREMES = ((0.0, 1.0), (999.0, 4.0), (999.25, 1.0))
"""Timestep, and what latents are multiplied by. Half precision has no 999.25."""
LARGEST = 65504.0 / 4
"""What a tensor may reach in a trial; the rest of fp16's range is for what trials did not meet."""
CUDA = "CUDAExecutionProvider"
OURS = "maquette"


def trial_inputs(network: str, pack: Pack) -> Iterator[Inputs]:
    """Inputs at both ends of what a render sends: timesteps, and the spread of latents."""
    for seed, (timestep, spread) in enumerate(EXTREMES, start=10):
        inputs = example_inputs(network, pack, Size(batch=2, height=16, width=24), seed)
        if contract.TIMESTEP.name in inputs:
            inputs[contract.TIMESTEP.name].fill_(timestep)
        if "latents" in inputs:
            inputs["latents"] *= spread
        yield inputs


def large_tensors(path: Path, trials: Iterable[Mapping[str, Tensor]]) -> set[str]:
    """Names of the tensors in the network at `path` that come near the end of fp16's range."""
    model = onnx.load(path, load_external_data=False)
    declared = {output.name for output in model.graph.output}
    floats = _outputs_of_type(model, TensorProto.FLOAT)
    watched = [name for name in floats if name not in declared]
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in watched
    )
    probe = path.with_name(f".{path.name}.probe")
    probe.write_bytes(model.SerializeToString())
    try:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(probe, options, providers=[CPU])
        names = [output.name for output in session.get_outputs()]
        found = set()
        for trial in trials:
            feeds = {name: tensor.numpy() for name, tensor in trial.items()}
            values = session.run(names, feeds)
            found |= {
                name for name, value in zip(names, values, strict=True) if _reaches(value, LARGEST)
            }
    finally:
        probe.unlink()
    return found


def _outputs_of_type(model: ModelProto, kind: int) -> list[str]:
    """What the nodes give out in that type; the file tells it of every tensor."""
    typed = {
        info.name for info in model.graph.value_info if info.type.tensor_type.elem_type == kind
    }
    return [name for node in model.graph.node for name in node.output if name in typed]


def _reaches(value: npt.NDArray[Any], limit: float) -> bool:
    return bool(value.size) and not bool(np.abs(value).max() < limit)


def check_half(path: Path, trials: Iterable[tuple[Inputs, list[Array]]], provider: str) -> Parity:
    """Hold the fp16 network at `path` against fp32 by the angle between outputs.

    Args:
        trials: inputs, and torch's outputs for them in fp32.
        provider: of ONNX Runtime.

    Returns:
        One minus the smallest cosine of any row, or a tenth of its largest difference in length;
        infinite where an output is not a number or not finite.
    """
    session = onnxruntime.InferenceSession(str(path), providers=[provider])
    errors = [
        _deviation(one, other)
        for inputs, wanted in trials
        for one, other in zip(wanted, run_onnx(session, inputs), strict=True)
    ]
    return Parity(error=max(errors), tolerance=HALF_TOLERANCE)


def _deviation(wanted: Array, found: Array) -> float:
    """How far rows are turned or stretched; infinite where one is not finite."""
    if wanted.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    one, other = (array.astype(np.float64).reshape(len(array), -1) for array in (wanted, found))
    lengths = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
    product = np.maximum(lengths[0] * lengths[1], np.finfo(np.float64).tiny)
    turned = 1 - (one * other).sum(axis=1) / product
    stretched = np.abs(lengths[1] / np.maximum(lengths[0], np.finfo(np.float64).tiny) - 1)
    return float(max(turned.max(), stretched.max() / 10))


def rounding(path: Path) -> Path:
    """A copy of the fp16 network at `path` that a CPU rounds as a GPU would; its own file.

    ONNX Runtime computes fp16 on a CPU in fp32 and leaves out the rounding in between, so that
    nothing overflows. Here each fp16 tensor goes through arithmetic that rounds it, or makes it
    infinite. Source: the splitting of T. J. Dekker (1971), "A floating-point technique".
    """
    model = onnx.load(path, load_external_data=False)
    halves = set(_outputs_of_type(model, TensorProto.FLOAT16))
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        for index, name in enumerate(node.output):
            if name in halves:
                wide, exact, rounded = (f"{name}.{part}" for part in ("wide", "exact", "rounded"))
                node.output[index] = exact
                nodes += [
                    onnx.helper.make_node("Cast", [exact], [wide], to=TensorProto.FLOAT),
                    onnx.helper.make_node("Round16", [wide], [rounded], domain=OURS),
                    onnx.helper.make_node("Cast", [rounded], [name], to=TensorProto.FLOAT16),
                ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    model.functions.append(_round16(opset))
    model.opset_import.append(onnx.helper.make_opsetid(OURS, 1))
    probe = path.with_name(f".{path.name}.rounding")
    probe.write_bytes(model.SerializeToString())
    return probe


def _round16(opset: int) -> FunctionProto:
    """``x`` in fp32 to the nearest number with fp16's 11 bits, infinite beyond its range."""
    text = f"""
    <domain: "{OURS}", opset_import: ["" : {opset}]>
    Round16 (x) => (y) {{
        factor = Constant <value = float {{{2**13 + 1}.0}}> ()
        largest = Constant <value = float {{65504.0}}> ()
        scaled = Mul (x, factor)
        low = Sub (scaled, x)
        nearest = Sub (scaled, low)
        size = Abs (x)
        fits = LessOrEqual (size, largest)
        one_or_zero = Cast <to = 1> (fits)
        y = Div (nearest, one_or_zero)
    }}
    """
    return onnx.parser.parse_function(text)


def available_gpu() -> str | None:
    """ONNX Runtime's name for a GPU that it can use here."""
    return CUDA if CUDA in onnxruntime.get_available_providers() else None
