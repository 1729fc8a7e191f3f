"""The CPU backend's batching over a real engine."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from serving import onnx_network
from serving.onnx_network import OnnxNetwork
from tests.conftest import ROOT

TEXT_ENCODER = ROOT / "model_repository/text_encoder/1/model.onnx"


@pytest.fixture(scope="module", params=[1, 2, 3], ids="{} threads".format)
def text_encoder(request):
    return OnnxNetwork(TEXT_ENCODER, request.param)


@pytest.fixture
def sessions(monkeypatch):
    """How many threads each session was made with, and how many rows it was given, in turn."""
    seen = []
    session_class = onnxruntime.InferenceSession

    class Watched(session_class):
        def __init__(self, path, options, **given):
            super().__init__(path, options, **given)
            self.threads = options.intra_op_num_threads

        def run(self, names, inputs):
            seen.append((self.threads, len(inputs["input_ids"])))
            return super().run(names, inputs)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Watched)
    return seen


def ids(rows, seed):
    random = np.random.default_rng(seed)
    return {"input_ids": random.integers(0, 500, (rows, 77), dtype=np.int64)}


def test_requests_of_different_row_counts_come_back_as_they_went_in(text_encoder):
    batch = [ids(1, 0), ids(3, 1), ids(2, 2), ids(1, 3)]
    together = text_encoder.run(batch)
    assert [len(outputs["prompt_embeds"]) for outputs in together] == [1, 3, 2, 1]
    for request, outputs in zip(batch, together, strict=True):
        alone = text_encoder.run([request])[0]["prompt_embeds"]
        np.testing.assert_allclose(outputs["prompt_embeds"], alone, atol=1e-5)


def test_each_core_computes_its_own_rows_where_there_are_enough(sessions):
    network = OnnxNetwork(TEXT_ENCODER, threads=2)
    network.run([ids(2, 0), ids(3, 1)])
    assert sorted(sessions) == [(1, 2), (1, 3)]


def test_cores_share_the_operators_where_there_are_fewer_rows(sessions):
    OnnxNetwork(TEXT_ENCODER, threads=2).run([ids(1, 0)])
    assert sessions == [(2, 1)]


def test_weights_of_a_large_engine_are_loaded_once(sessions, monkeypatch):
    monkeypatch.setattr(onnx_network, "LARGE_ENGINE", 1)
    OnnxNetwork(TEXT_ENCODER, threads=2).run([ids(2, 0), ids(3, 1)])
    assert sessions == [(2, 5)]


def test_a_missing_engine_is_named(tmp_path):
    with pytest.raises(Exception, match="nowhere.onnx"):
        OnnxNetwork(tmp_path / "nowhere.onnx")
