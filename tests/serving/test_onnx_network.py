"""The CPU backend's batching over a real engine."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_a_missing_engine_is_named(tmp_path):
    with pytest.raises(Exception, match="nowhere.onnx"):
        OnnxNetwork(tmp_path / "nowhere.onnx")
