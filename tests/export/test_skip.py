"""ControlNet answers zeros at once where nobody wants it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from export.onnx import CPU, example_inputs, run_onnx
from export.shapes import Size
from export.skip import skip_where_unwanted
from pipeline import contract
from pipeline.topology import SD15

SIZES = (Size(batch=2, height=16, width=24), Size(batch=3, height=8, width=40))


@pytest.fixture(scope="module", params=["inside", "beside"])
def engines(request, tiny, shipped, tmp_path_factory):
    """ControlNet before and after, its weights in the same file or in one beside it."""
    whole = shipped("controlnet")
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    if request.param == "inside":
        shutil.copy(whole, path)
    else:
        onnx.save(onnx.load(whole), path, save_as_external_data=True, location="model.onnx.data")
    skip_where_unwanted(path, tiny)
    return whole, path


def session(path, profile=None):
    options = onnxruntime.SessionOptions()
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(str(path), options, providers=[CPU])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scales", [(1.5, 1.5, 0.8), (0.0, 1.5, 0.0), (-1.0, 0.0, 0.0)], ids=str)
def test_what_one_row_wants_is_computed(tiny, engines, size, scales):
    inputs = example_inputs("controlnet", tiny, size, seed=5)
    inputs["conditioning_scale"] = torch.tensor(scales)[: size.batch, None]
    before, after = (run_onnx(session(path), inputs) for path in engines)
    for expected, found in zip(before, after, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_zeros_have_the_shapes_of_residuals(tiny, engines, size):
    inputs = example_inputs("controlnet", tiny, size, seed=5)
    before = run_onnx(session(engines[0]), inputs)
    inputs["conditioning_scale"] = torch.zeros(size.batch, 1)
    after = run_onnx(session(engines[1]), inputs)
    assert [zeros.shape for zeros in after] == [residual.shape for residual in before]
    assert [zeros.dtype for zeros in after] == [residual.dtype for residual in before]
    assert not any(zeros.any() for zeros in after)


@pytest.mark.parametrize(("scale", "computed"), [(1.5, True), (0.0, False)])
def test_no_convolution_runs_where_every_scale_is_zero(tiny, engines, tmp_path, scale, computed):
    running = session(engines[1], tmp_path / "profile")
    inputs = example_inputs("controlnet", tiny, SIZES[0], seed=5)
    inputs["conditioning_scale"] = torch.full((2, 1), scale)
    run_onnx(running, inputs)
    events = json.loads(Path(running.end_profiling()).read_text(encoding="utf-8"))
    operators = {event["args"].get("op_name") for event in events if event["cat"] == "Node"}
    assert ("Conv" in operators) == computed


def test_names_stay_those_of_the_contract(engines):
    graph = onnx.load(engines[1], load_external_data=False).graph
    model = contract.MODELS["controlnet"]
    assert [tensor.name for tensor in graph.input] == [tensor.name for tensor in model.inputs]
    assert [tensor.name for tensor in graph.output] == list(SD15.residuals)
