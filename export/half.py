"""An fp32 ONNX network to fp16 inside: fused for a GPU, fp32 at the edges and where fp16 ends.

Half precision has two ends that Stable Diffusion meets: numbers above 65,504, which become
infinite, and a resolution of half a step at timestep 999. Tensors that come near the first, found
by running the network, and everything between the timestep and its first matrix multiplication
stay in fp32.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import onnx
import onnx.parser
from onnx import ModelProto, NodeProto, TensorProto
from onnx.external_data_helper import (
    load_external_data_for_model,
    load_external_data_for_tensor,
    uses_external_data,
)
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.onnx_model import OnnxModel
from onnxruntime.transformers.optimizer import optimize_by_fusion

from export.onnx import LARGEST_INSIDE
from pipeline import contract

FUSIONS = {
    "text_encoder": "clip",
    "clip_text": "clip",
    "clip_image": "clip",
    "image_encoder": "clip",
    "controlnet": "unet",
    "unet": "unet",
    "vae_encoder": "vae",
    "vae_decoder": "vae",
}
"""ONNX Runtime's name for the patterns to look for in each network."""
KERNEL_GROUPS = 32
"""ONNX Runtime's CUDA GroupNorm is made for Stable Diffusion's groups; others stay plain."""
KERNEL_GATES = (2560, 5120, 10240)
"""And its BiasSplitGelu for the widths of Stable Diffusion's gated layers."""
SMALL_WEIGHT = 1_000_000
"""Numbers in a tensor that a pattern may ask the value of."""
HIDDEN = "Fp32"
"""Before the type of an operator that no pattern is to take."""
CONTRIB = "com.microsoft"
MATRIX_OPERATORS = ("Gemm", "MatMul")


def halve(
    path: Path, target: Path, network: str, large: Collection[str], *, fuse: bool
) -> Counter[str]:
    """Write the fp32 network at `path` to `target` with fp16 inside.

    Args:
        network: its name in the contract.
        large: tensors that stay in fp32.
        fuse: put in the operators that ONNX Runtime has for GPUs; a CPU cannot run all of them.

    Returns:
        How many of each fused operator there are.
    """
    model = _fused(path, network, large) if fuse else OnnxModel(onnx.load(path))
    model.topological_sort()
    for index, node in enumerate(model.model.graph.node):
        node.name = f"{node.op_type}_{index}"
    _tell_types(model.model)
    nodes = list(model.model.graph.node)
    blocked = {node.name for node in nodes if _touches(node, large)} | _timestep_path(nodes)
    # Types are known, so its own inference, which copies all weights several times, is not needed.
    convert_float_to_float16(
        model.model, keep_io_types=True, node_block_list=list(blocked), disable_shape_infer=True
    )
    _drop_repeated(model.model)
    _let_fp32_nodes_meet(model.model)
    model.prune_graph()
    model.topological_sort()
    weights = sum(tensor.ByteSize() for tensor in model.model.graph.initializer)
    model.save_model_to_file(str(target), use_external_data_format=weights > LARGEST_INSIDE)
    return Counter(node.op_type for node in model.model.graph.node if node.domain == CONTRIB)


def _fused(path: Path, network: str, large: Collection[str]) -> OnnxModel:
    """The network with ONNX Runtime's operators for GPUs.

    Patterns are looked for without the large weights, of which the optimizer would make copies.
    Fusing renames what lies between operators, so those that stay in fp32 are hidden meanwhile.
    """
    kind = FUSIONS[network]
    options = FusionOptions(kind)
    options.enable_nhwc_conv = False
    options.enable_attention = False  # the exporter did it, and CLIP's sequences are short
    if kind != "clip" and not _has_kernel_groups(path):
        options.enable_group_norm = options.enable_skip_group_norm = False
    model = _without_large_weights(path)
    for node in model.graph.node:
        if _touches(node, large):
            node.op_type = f"{HIDDEN}{node.op_type}"
    fused = optimize_by_fusion(model, kind, optimization_options=options)
    fuse_gates(fused.model)
    load_external_data_for_model(fused.model, str(path.parent))
    if kind != "clip":
        fused.convert_conv_to_nhwc()
        fused.merge_adjacent_transpose()
    for node in fused.model.graph.node:
        node.op_type = node.op_type.removeprefix(HIDDEN)
    return fused


def _without_large_weights(path: Path) -> ModelProto:
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        if uses_external_data(tensor) and math.prod(tensor.dims) <= SMALL_WEIGHT:
            load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]
    return model


def _tell_types(model: ModelProto) -> None:
    """Declare what the fused operators give out: fp32 where something in fp32 goes in."""
    graph = model.graph
    floats = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    known = set(floats)
    for info in itertools.chain(graph.input, graph.output, graph.value_info):
        known.add(info.name)
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            floats.add(info.name)
    for node in graph.node:
        if floats & set(node.input):
            unknown = [name for name in node.output if name and name not in known]
            floats.update(unknown)
            graph.value_info.extend(
                onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
                for name in unknown
            )


def _has_kernel_groups(path: Path) -> bool:
    """Whether every group norm, which the exporter writes as instance norm, has the groups."""
    model = onnx.load(path, load_external_data=False)
    sizes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    return all(sizes.get(norm.input[1]) == (KERNEL_GROUPS,) for norm in norms)


def fuse_gates(model: ModelProto) -> None:
    """Put BiasSplitGelu where a bias is added, the result split, and one half gates the other.

    ONNX Runtime's optimizer looks for the slices that older exporters wrote instead of the split.
    """
    nodes = model.graph.node
    made_by = {name: node for node in nodes for name in node.output}
    biases = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}

    def maker(name: str, kind: str) -> NodeProto | None:
        node = made_by.get(name)
        return node if node is not None and node.op_type == kind else None

    for product in [node for node in nodes if node.op_type == "Mul"]:
        gelu = maker(product.input[1], "Gelu")
        split = gelu and maker(gelu.input[0], "Split")
        added = split and maker(split.input[0], "Add")
        if not gelu or not split or not added:
            continue
        bias = next((name for name in added.input if biases.get(name) in KERNEL_GATES), None)
        if bias is None or list(split.output) != [product.input[0], gelu.input[0]]:
            continue
        hidden = next(name for name in added.input if name != bias)
        fused = onnx.helper.make_node(
            "BiasSplitGelu", [hidden, bias], [product.output[0]], domain=CONTRIB
        )
        for node in (product, gelu, split, added):
            nodes.remove(node)
        nodes.append(fused)


def _touches(node: NodeProto, names: Collection[str]) -> bool:
    return any(name in names for name in itertools.chain(node.input, node.output))


def _timestep_path(nodes: Iterable[NodeProto]) -> set[str]:
    """The nodes from the timestep to its first matrix multiplication, that one left out."""
    reached, names = {contract.TIMESTEP.name}, set()
    for node in nodes:
        if node.op_type not in MATRIX_OPERATORS and reached & set(node.input):
            names.add(node.name)
            reached |= set(node.output)
    return names


def _let_fp32_nodes_meet(model: ModelProto) -> None:
    """Take away what lies between two fp32 nodes, or an input and one: a cast to fp16 and back."""
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast"}

    def kind(node: NodeProto) -> int:
        return next(attribute.i for attribute in node.attribute if attribute.name == "to")

    exact = {}
    for name, cast in casts.items():
        rounded = casts.get(cast.input[0])
        if kind(cast) == TensorProto.FLOAT and rounded and kind(rounded) == TensorProto.FLOAT16:
            exact[name] = rounded.input[0]
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = exact.get(name, name)


def _drop_repeated(model: ModelProto) -> None:
    """The converter casts a tensor once for each fp32 node that reads it, under one name."""
    seen: set[str] = set()
    kept = []
    for node in model.graph.node:
        outputs = {name for name in node.output if name}  # an output left out has no name
        if not seen & outputs:
            kept.append(node)
            seen |= outputs
    del model.graph.node[:]
    model.graph.node.extend(kept)
