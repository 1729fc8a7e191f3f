"""Weights as they lie in ONNX files, held against what the onnx package reads."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.versions import engines
from versions import weights

RANDOM = np.random.default_rng(3)


def saved(path, *tensors, nodes=(), **options):
    graph = helper.make_graph(list(nodes), "graph", [], [], list(tensors))
    onnx.save(helper.make_model(graph), path, **options)
    return {weight.name: weight.values for weight in weights.read(path)}


def array(name, dtype, *shape):
    return numpy_helper.from_array(RANDOM.standard_normal(shape).astype(dtype), name)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("outside", [False, True])
def test_numbers_are_those_that_onnx_reads(tmp_path, dtype, outside):
    tensors = [array("one", dtype, 3, 4), array("two", dtype, 5), array("none", dtype, 0)]
    wanted = {tensor.name: numpy_helper.to_array(tensor).ravel() for tensor in tensors}
    options = {"save_as_external_data": outside, "size_threshold": 0, "location": "weights.data"}
    found = saved(tmp_path / "model.onnx", *tensors, **(options if outside else {}))
    assert outside == (tmp_path / "weights.data").exists()
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        assert found[name].dtype == dtype
        assert np.array_equal(found[name], values)


def test_numbers_that_are_written_one_by_one(tmp_path):
    tensor = helper.make_tensor("typed", TensorProto.FLOAT, [2], [1.5, -2.0])
    assert saved(tmp_path / "model.onnx", tensor)["typed"].tolist() == [1.5, -2.0]


def test_whole_numbers_are_no_weights(tmp_path):
    assert saved(tmp_path / "model.onnx", array("shape", np.int64, 4)) == {}


def test_weights_inside_of_branches_and_constants_are_found(tmp_path):
    branch = helper.make_graph([], "branch", [], [], [array("inner", np.float32, 2)])
    nodes = [
        helper.make_node("If", ["c"], ["x"], then_branch=branch, else_branch=branch),
        helper.make_node("Constant", [], ["y"], value=array("constant", np.float32, 3)),
    ]
    assert set(saved(tmp_path / "model.onnx", nodes=nodes)) == {"inner", "constant"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_number_among_many_is_found(tmp_path, value, monkeypatch):
    monkeypatch.setattr(weights, "CHUNK", 10)
    values = np.zeros(95, np.float32)
    assert weights.Weight("", values).is_finite()
    values[94] = value
    assert not weights.Weight("", values).is_finite()


def test_every_part_of_a_file_is_no_file_or_less(tmp_path):
    """Cut anywhere, it is told or has fewer weights; it never goes astray."""
    engines.save(engines.text_encoder(RANDOM), tmp_path, "text_encoder")
    whole = (tmp_path / "model.onnx").read_bytes()
    for end in range(0, len(whole), 7):
        (tmp_path / "part.onnx").write_bytes(whole[:end])
        try:
            assert len(list(weights.read(tmp_path / "part.onnx"))) <= 1
        except weights.NotOnnx:
            continue


def test_weights_are_read_beside_the_file_and_nowhere_else(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(40))
    (tmp_path / "engine").mkdir()
    tensor = array("one", np.float32, 10)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("length", "40")):
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph([], "graph", [], [], [tensor])
    path = tmp_path / "engine/model.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(weights.NotOnnx, match="which is not beside it"):
        list(weights.read(path))
