"""fp16 inside: what must stay fp32, what is fused for GPUs, and a check that can fail on a CPU."""

from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from export import build
from export.asked import Build
from export.attention import fused, plain
from export.build import build_network
from export.half import CONTRIB, fuse_gates, halve
from export.networks import wrap
from export.onnx import CPU, example_inputs, export_network, quiet_exporter, run_torch
from export.pack import Pack
from export.shapes import Size
from export.trials import (
    HALF_TOLERANCE,
    LARGEST,
    _deviation,
    check_half,
    large_tensors,
    rounding,
    trial_inputs,
)
from tests.amounts import long, sample


def operators(path):
    model = onnx.load(path)
    return Counter(node.op_type for node in model.graph.node)


def half_of(path, network, module, pack, folder):
    """The fp16 network as it is checked, and its largest difference from 1."""
    inputs = list(trial_inputs(network, pack))
    target = folder / "half.onnx"
    halve(path, target, network, large_tensors(path, inputs), fuse=False)
    return target, check(target, module, inputs)


def check(path, module, inputs):
    trials = [(given, run_torch(module, given)) for given in inputs]
    return check_half(rounding(path), trials, CPU)


@pytest.mark.parametrize(
    "network",
    sample(
        ["text_encoder", "clip_image", "image_encoder", "controlnet", "vae_encoder"],
        {"text_encoder", "vae_encoder"},
    ),
)
def test_networks_keep_their_direction_in_half_precision(shipped, tiny, network, tmp_path):
    path = shipped(network)
    half, parity = half_of(path, network, wrap(network, tiny), tiny, tmp_path)
    assert parity.passed
    assert parity.error > 1e-9, "nothing was rounded, so nothing was checked"
    weights = {tensor.name: tensor for tensor in onnx.load(half).graph.initializer}
    kinds = Counter()
    for tensor in weights.values():
        kinds[tensor.data_type] += int(np.prod(tensor.dims))
    assert kinds[TensorProto.FLOAT16] > 0.9 * kinds.total()


def test_edges_stay_in_fp32(shipped, tiny, tmp_path):
    halve(shipped("controlnet"), tmp_path / "half.onnx", "controlnet", (), fuse=False)
    graph = onnx.load(tmp_path / "half.onnx").graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    assert kinds.pop("control_image") == TensorProto.UINT8
    assert set(kinds.values()) == {TensorProto.FLOAT}
    assert {value.type.tensor_type.elem_type for value in graph.output} == {TensorProto.FLOAT}


HEAT = 2e5


def too_hot(network, pack, attend=fused):
    """A decoder whose activations leave fp16's range in the middle, as real ones do.

    What its first convolution adds is normalised away again, so the picture stays a picture.
    """
    module = wrap(network, Pack(pack.folder), attend)
    module.vae.decoder.conv_in.weight.data.mul_(HEAT)
    return module


@pytest.fixture(scope="module")
def hot(tiny, shipped, tmp_path_factory):
    module = too_hot("vae_decoder", tiny)
    path = tmp_path_factory.mktemp("hot") / "decoder.onnx"
    model = onnx.load(shipped("vae_decoder"))
    (first,) = (
        one for one in model.graph.initializer if one.name.endswith("decoder.conv_in.weight")
    )
    first.CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(first) * np.float32(HEAT), first.name)
    )
    onnx.save(model, path)
    return module, path


class TestRange:
    def test_what_comes_near_the_end_is_found(self, hot, shipped, tiny):
        trials = list(trial_inputs("vae_decoder", tiny))
        assert large_tensors(hot[1], trials)
        assert not large_tensors(shipped("vae_decoder"), trials)
        assert LARGEST < 65504 / 2

    def test_it_stays_in_fp32_and_the_picture_is_right(self, hot, tiny, tmp_path):
        _, parity = half_of(hot[1], "vae_decoder", hot[0], tiny, tmp_path)
        assert parity.passed

    def test_fused_for_a_gpu_it_stays_in_fp32_too(self, hot, tiny, tmp_path):
        large = large_tensors(hot[1], list(trial_inputs("vae_decoder", tiny)))
        halve(hot[1], tmp_path / "gpu.onnx", "vae_decoder", large, fuse=True)
        graph = onnx.load(tmp_path / "gpu.onnx").graph
        kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
        before = onnx.load(hot[1]).graph
        inside = [
            node for node in before.node if set(node.output) & large and node.op_type == "Conv"
        ]
        kept = [node for node in graph.node if node.op_type == "Conv"]
        assert inside
        assert len(kept) >= len(inside)
        weights = {node.input[1].removesuffix("_cast_to_fp32") for node in kept}
        assert {kinds[name] for name in weights} == {TensorProto.FLOAT}
        fused = [node for node in graph.node if node.op_type == "NhwcConv"]
        assert {kinds[node.input[1]] for node in fused} == {TensorProto.FLOAT16}

    def test_converted_blindly_it_would_not_be_and_the_check_says_so(self, hot, tiny, tmp_path):
        trials = list(trial_inputs("vae_decoder", tiny))
        halve(hot[1], tmp_path / "half.onnx", "vae_decoder", (), fuse=False)
        assert check(tmp_path / "half.onnx", hot[0], trials).error == float("inf")


def test_the_check_rounds_where_a_cpu_does_not(tmp_path):
    """3 x 300 x 300 is beyond fp16's range; ONNX Runtime on a CPU never rounds it."""
    steps = [("Cast", ["x"], {"to": TensorProto.FLOAT16})]
    steps += [("Mul", ["value", name], {}) for name in ("k", "k", "s", "s")]
    nodes, last = [], "x"
    for index, (kind, inputs, attributes) in enumerate(steps):
        given = [last if name in {"x", "value"} else name for name in inputs]
        last = f"value_{index}"
        nodes.append(helper.make_node(kind, given, [last], **attributes))
    nodes.append(helper.make_node("Cast", [last], ["y"], to=TensorProto.FLOAT))
    half = TensorProto.FLOAT16
    graph = helper.make_graph(
        nodes,
        "steps",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [helper.make_tensor("k", half, [], [300.0]), helper.make_tensor("s", half, [], [1 / 300])],
        value_info=[helper.make_tensor_value_info(f"value_{i}", half, [2]) for i in range(5)],
    )
    path = tmp_path / "steps.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )

    def run(file):
        session = onnxruntime.InferenceSession(file, providers=[CPU])
        return session.run(None, {"x": np.array([0.1, 3.0], np.float32)})[0]

    assert np.isfinite(run(path)).all()
    tiny, large = run(rounding(path))
    assert not np.isfinite(large)
    expected = np.float16(0.1)
    for factor in (300.0, 300.0, 1 / 300, 1 / 300):
        expected = expected * np.float16(factor)
    assert tiny == expected


def test_timesteps_are_in_fp32_until_they_are_sines(shipped, tmp_path):
    """Near 999 fp16 only has every half: 999.25 would be 999."""
    halve(shipped("controlnet"), tmp_path / "half.onnx", "controlnet", (), fuse=False)
    reached, passed, rounded = {"timestep"}, Counter(), []
    for node in onnx.load(tmp_path / "half.onnx").graph.node:
        if reached & set(node.input) and node.op_type not in {"MatMul", "Gemm"}:
            if any(given.i == TensorProto.FLOAT16 for given in node.attribute):
                rounded.append(node.name)
                continue
            reached |= set(node.output)
            passed[node.op_type] += 1
    assert passed["Sin"] == passed["Cos"] == 1, "they got no further"
    assert len(rounded) <= 1, "what the first matrix reads"


@long
def test_a_timestep_that_half_precision_does_not_have_is_kept(assembled, tmp_path):
    """Of random weights: what is trained hardly tells 999.25 from 999."""
    assert float(np.float16(999.25)) == 999.0
    small, path = assembled(), tmp_path / "model.onnx"
    export_network("controlnet", wrap("controlnet", small), small, path)
    halve(path, tmp_path / "half.onnx", "controlnet", (), fuse=False)
    session = onnxruntime.InferenceSession(rounding(tmp_path / "half.onnx"), providers=[CPU])
    inputs = example_inputs("controlnet", small, Size(1, 16, 16), seed=1)
    module = wrap("controlnet", small)

    def at(timestep):
        inputs["timestep"].fill_(timestep)
        arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
        with torch.inference_mode():
            return session.run(None, arrays)[-1], module(*inputs.values())[-1].numpy()

    (half, full), (half_after, full_after) = at(999.0), at(999.25)
    wanted, found = full_after - full, half_after - half
    assert np.abs(wanted).max() > 1e-3
    cosine = (wanted * found).sum() / np.linalg.norm(wanted) / np.linalg.norm(found)
    assert cosine > 0.9


def test_masks_stay_finite(shipped, tiny, tmp_path):
    """The causal mask is the lowest number of fp32, which fp16 has not."""
    trials = list(trial_inputs("text_encoder", tiny))
    halve(shipped("text_encoder"), tmp_path / "half.onnx", "text_encoder", (), fuse=False)
    assert check(tmp_path / "half.onnx", wrap("text_encoder", tiny), trials).passed


class TestFusion:
    def test_attention_layout_and_norms_are_fused_for_a_gpu(self, shipped, tmp_path):
        before = operators(shipped("controlnet"))
        counted = halve(shipped("controlnet"), tmp_path / "gpu.onnx", "controlnet", (), fuse=True)
        after = operators(tmp_path / "gpu.onnx")
        assert counted["MultiHeadAttention"] == 14
        assert counted["NhwcConv"] == before["Conv"] > 50
        assert after["Conv"] == 0
        assert counted["SkipLayerNormalization"] > 5
        assert before["InstanceNormalization"] == after["InstanceNormalization"], (
            "the GPU's group norm is made for 32 groups, which the tiny network has not"
        )

    def test_group_norm_of_sd15s_groups_is_fused(self, tmp_path):
        path = tmp_path / "norm.onnx"
        norm = torch.nn.Sequential(torch.nn.GroupNorm(32, 320), torch.nn.SiLU()).eval()
        with quiet_exporter():
            torch.onnx.export(
            norm, (torch.randn(2, 320, 8, 8),), str(path), dynamo=True, opset_version=20,
            dynamic_shapes=({0: torch.export.Dim.AUTO},), verbose=False, external_data=False,
        )  # fmt: skip
        assert halve(path, tmp_path / "gpu.onnx", "unet", (), fuse=True)["GroupNorm"] == 1

    @pytest.mark.parametrize(("width", "fused"), [(1280, True), (64, False)])
    def test_a_gate_of_sd15s_widths_is_fused(self, width, fused):
        bias = helper.make_tensor("bias", TensorProto.FLOAT, [2 * width], [0.5] * (2 * width))
        graph = helper.make_graph(
            [
                helper.make_node("Add", ["x", "bias"], ["added"]),
                helper.make_node("Split", ["added"], ["left", "right"], axis=-1, num_outputs=2),
                helper.make_node("Gelu", ["right"], ["gate"]),
                helper.make_node("Mul", ["left", "gate"], ["y"]),
            ],
            "gate",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2 * width])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, width])],
            [bias],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        fuse_gates(model)
        nodes = [(node.op_type, list(node.input)) for node in model.graph.node]
        expected = [("BiasSplitGelu", ["x", "bias"])]
        assert (nodes == expected) == fused
        assert {node.domain for node in model.graph.node} == ({CONTRIB} if fused else {""})

    @long
    def test_plain_attention_is_for_tensorrt(self, tiny, shipped, tmp_path):
        export_network("vae_encoder", wrap("vae_encoder", tiny, plain), tiny, tmp_path / "p.onnx")
        assert "MultiHeadAttention" not in operators(tmp_path / "p.onnx")
        assert operators(shipped("vae_encoder"))["MultiHeadAttention"] == 1


class TestBuild:
    """Of networks that were exported before."""

    @pytest.fixture
    def build_of(self, tiny, tmp_path, monkeypatch):
        def built(network, path, wrapped=wrap):
            monkeypatch.setattr(
                build, "export_network", lambda *given: shutil.copy(path, given[-1])
            )
            monkeypatch.setattr(build, "wrap", wrapped)
            return build_network(network, tiny, tmp_path, Build(precision="fp16"))

        return built

    def test_an_fp16_engine_takes_the_place_of_the_fp32_one(self, shipped, build_of, tmp_path):
        built = build_of("vae_encoder", shipped("vae_encoder"))
        assert built.parity.passed
        assert built.parity.tolerance == HALF_TOLERANCE
        assert built.hardware == {"checked_on": CPU}
        assert built.fused["NhwcConv"] > 5
        assert [path.name for path in tmp_path.iterdir()] == [build.ONNX_FILE]
        assert operators(tmp_path / build.ONNX_FILE)["NhwcConv"] == built.fused["NhwcConv"]

    def test_one_that_is_wrong_in_fp16_does_not_pass(self, hot, build_of, monkeypatch):
        monkeypatch.setattr(build, "large_tensors", lambda *_: ())
        assert not build_of("vae_decoder", hot[1], too_hot).parity.passed


class TestDeviation:
    wanted = np.random.default_rng(0).standard_normal((2, 50)) * [[1000.0], [1.0]]

    def test_the_same_is_none(self):
        assert _deviation(self.wanted, self.wanted) < 1e-12

    def test_a_row_that_is_turned_counts_beside_a_longer_one(self):
        found = self.wanted * [[1.0], [-1.0]]
        assert _deviation(self.wanted, found) == pytest.approx(2)

    def test_an_output_that_is_twice_as_long_is_not_the_same(self):
        assert _deviation(self.wanted, 2 * self.wanted) > HALF_TOLERANCE
