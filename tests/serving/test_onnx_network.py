"""The CPU backend's batching over a real engine."""

from __future__ import annotations

import numpy as np
import pytest

from serving import onnx_network
from serving.onnx_network import OnnxNetwork
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def text_encoder():
    return OnnxNetwork(ROOT / "model_repository" / "text_encoder" / "1" / "model.onnx")


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


def test_rows_too_large_to_go_together_are_executed_in_parts(text_encoder, monkeypatch):
    batch = [ids(1, 0), ids(3, 1), ids(2, 2)]
    together = text_encoder.run(batch)
    executed = []
    execute = text_encoder._execute

    def counting(inputs):
        executed.append(len(inputs["input_ids"]))
        return execute(inputs)

    monkeypatch.setattr(text_encoder, "_execute", counting)
    monkeypatch.setattr(onnx_network, "MAX_INPUT_BYTES", 4 * 77 * 8)
    in_parts = text_encoder.run(batch)
    assert executed == [4, 2]
    for one, other in zip(together, in_parts, strict=True):
        np.testing.assert_allclose(one["prompt_embeds"], other["prompt_embeds"], atol=1e-5)


def test_a_missing_engine_is_named(tmp_path):
    with pytest.raises(Exception, match="nowhere.onnx"):
        OnnxNetwork(tmp_path / "nowhere.onnx")
