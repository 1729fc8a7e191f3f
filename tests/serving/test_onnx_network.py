"""The CPU backend's batching over a real engine."""

from __future__ import annotations

import numpy as np
import pytest

from serving import onnx_network
from serving.onnx_network import OnnxNetwork
from tests.conftest import ROOT


def engine(name):
    return OnnxNetwork(ROOT / "model_repository" / name / "1" / "model.onnx")


@pytest.fixture(scope="module")
def text_encoder():
    return engine("text_encoder")


def ids(rows, seed):
    random = np.random.default_rng(seed)
    return {"input_ids": random.integers(0, 500, (rows, 77), dtype=np.int64)}


def test_requests_of_different_row_counts_come_back_as_they_went_in(text_encoder):
    batch = [ids(1, 0), ids(3, 1), ids(2, 2)]
    together = text_encoder.run(batch)
    assert [len(outputs["prompt_embeds"]) for outputs in together] == [1, 3, 2]
    for request, outputs in zip(batch, together, strict=True):
        alone = text_encoder.run([request])[0]["prompt_embeds"]
        np.testing.assert_allclose(outputs["prompt_embeds"], alone, atol=1e-5)


def test_rows_too_large_to_go_together_are_executed_in_parts(monkeypatch):
    controlnet = engine("controlnet")
    batch = [control_inputs(1, 0), control_inputs(3, 1), control_inputs(2, 2)]
    together = controlnet.run(batch)
    executed = []
    execute = controlnet._execute

    def counting(inputs):
        executed.append(len(inputs["sample"]))
        return execute(inputs)

    monkeypatch.setattr(controlnet, "_execute", counting)
    monkeypatch.setattr(onnx_network, "MAX_ATTENTION", 4 * (16 * 16) ** 2)
    in_parts = controlnet.run(batch)
    assert executed == [4, 2]
    for one, other in zip(together, in_parts, strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], atol=1e-5)


def test_a_full_batch_of_the_largest_renders_is_split():
    row = {"sample": np.zeros((16, 4, 64, 64), np.float32)}
    assert onnx_network.MAX_ATTENTION // onnx_network._attention_of_a_row(row) == 4
    small = {"sample": np.zeros((16, 4, 32, 32), np.float32)}
    assert onnx_network.MAX_ATTENTION // onnx_network._attention_of_a_row(small) >= 16


def control_inputs(rows, seed):
    random = np.random.default_rng(seed)
    return {
        "sample": random.standard_normal((rows, 4, 16, 16), dtype=np.float32),
        "timestep": np.full((rows, 1), 500, np.float32),
        "prompt_embeds": random.standard_normal((rows, 77, 128), dtype=np.float32),
        "control_image": np.zeros((rows, 1, 128, 128), np.uint8),
        "conditioning_scale": np.ones((rows, 1), np.float32),
    }


def test_a_missing_engine_is_named(tmp_path):
    with pytest.raises(Exception, match="nowhere.onnx"):
        OnnxNetwork(tmp_path / "nowhere.onnx")
