"""ControlNet computed only where it is wanted.

Outside ``control_guidance_start`` and ``control_guidance_end`` its scale is zero, and so are its
residuals, whatever it computes. An ``If`` in the graph spares it the work, and no other part of the
server has to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto
from onnx.helper import (
    make_empty_tensor_value_info,
    make_graph,
    make_model,
    make_node,
)
from onnx.numpy_helper import from_array

from export.pack import Pack
from export.shapes import Widths, dims

COMPUTED = "computed."
"""Before the name of a residual inside the branch that computes it."""


def skip_where_unwanted(path: Path, pack: Pack) -> None:
    """Make the ControlNet at `path` answer zeros at once where every scale is zero.

    Weights in a file beside it stay where they are.
    """
    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    choice = make_node(
        "If",
        ["wanted"],
        [output.name for output in graph.output],
        then_branch=_computed(graph),
        else_branch=_zeros(_fractions(pack)),
    )
    asked = [
        make_node("Abs", ["conditioning_scale"], ["strengths"]),
        make_node("ReduceMax", ["strengths"], ["strongest"], keepdims=0),
        make_node("Cast", ["strongest"], ["wanted"], to=TensorProto.BOOL),
    ]
    skipping = make_graph([*asked, choice], graph.name, graph.input, graph.output)
    changed = make_model(
        skipping,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
    )
    onnx.save(changed, path)


def _computed(graph: GraphProto) -> GraphProto:
    """All of `graph` as a branch, which needs names of its own for what it gives."""
    names = {output.name: f"{COMPUTED}{output.name}" for output in graph.output}
    nodes = [_renamed(node, names) for node in graph.node]
    outputs = [make_empty_tensor_value_info(name) for name in names.values()]
    return make_graph(nodes, "computed", [], outputs, initializer=graph.initializer)


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    renamed = NodeProto()
    renamed.CopyFrom(node)
    renamed.input[:] = [names.get(name, name) for name in node.input]
    renamed.output[:] = [names.get(name, name) for name in node.output]
    return renamed


def _zeros(fractions: Mapping[str, tuple[int, int]]) -> GraphProto:
    nodes = [
        make_node("Shape", ["sample"], ["rows"], start=0, end=1),
        make_node("Shape", ["sample"], ["sides"], start=2, end=4),
    ]
    constants: list[TensorProto] = []
    outputs: list[ValueInfoProto] = []
    for name, (channels, fraction) in fractions.items():
        constants += [
            from_array(np.array([channels]), f"{name}.channels"),
            from_array(np.array([fraction]), f"{name}.fraction"),
        ]
        nodes += [
            make_node("Div", ["sides", f"{name}.fraction"], [f"{name}.sides"]),
            make_node(
                "Concat", ["rows", f"{name}.channels", f"{name}.sides"], [f"{name}.shape"], axis=0
            ),
            make_node("ConstantOfShape", [f"{name}.shape"], [f"{name}.zeros"]),
        ]
        outputs.append(make_empty_tensor_value_info(f"{name}.zeros"))
    return make_graph(nodes, "zeros", [], outputs, initializer=constants)


def _fractions(pack: Pack) -> dict[str, tuple[int, int]]:
    """Channels of each residual, and what part of the latents' sides its own are."""
    widths = Widths.of(pack)
    # Latents of which the coarsest level has one.
    side = 1 << (widths.topology.levels - 1)
    outputs = pack.model("controlnet").outputs
    shapes = {tensor.name: dims(tensor, widths, side, side) for tensor in outputs}
    return {name: (shape[0], side // shape[1]) for name, shape in shapes.items()}
