"""The configs for Triton's own backends, held against the engines by those backends' rules."""

from __future__ import annotations

import json

import onnxruntime
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup

from export import configs, engines
from export.asked import Build
from export.networks import NAMES
from export.shapes import Widths
from pipeline import contract
from tests.exported import EXPORTED
from versions import durable
from versions.catalogue import FINISHED

REPOSITORY = EXPORTED
ALL = tuple(configs.WRITERS)
ACCELERATOR_KEYS = {
    "precision_mode", "max_workspace_size_bytes", "trt_engine_cache_enable",
    "trt_engine_cache_path", "trt_timing_cache_enable", "trt_timing_cache_path",
    "trt_profile_min_shapes", "trt_profile_opt_shapes", "trt_profile_max_shapes",
}  # fmt: skip
"""Of those that the ONNX Runtime backend of Triton 24.12 knows; it refuses any other."""


def parsed(name, network, pack):
    return text_format.Parse(configs.config_text(name, network, pack, REPOSITORY), ModelConfig())


@pytest.mark.parametrize("network", NAMES)
def test_sizes_are_what_the_native_onnx_runtime_backend_accepts(network, tiny):
    """Its ``CompareDimsSupported``: an input's fixed size must be the config's, an output's dims
    must be the same altogether."""
    config = parsed("onnxruntime_gpu", network, tiny)
    session = onnxruntime.InferenceSession(REPOSITORY / network / "1" / "model.onnx")
    for entry, value in zip(config.input, session.get_inputs(), strict=True):
        batch, *fixed = (dim if isinstance(dim, int) else -1 for dim in value.shape)
        assert (entry.name, batch) == (value.name, -1)
        assert all(theirs in (-1, ours) for ours, theirs in zip(entry.dims, fixed, strict=True))
    for entry, value in zip(config.output, session.get_outputs(), strict=True):
        batch, *dims = (dim if isinstance(dim, int) else -1 for dim in value.shape)
        assert (entry.name, batch, list(entry.dims)) == (value.name, -1, dims)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("network", NAMES)
def test_all_else_is_the_hand_written_configs(name, network, tiny):
    config = parsed(name, network, tiny)
    written = text_format.Parse((REPOSITORY / network / "config.pbtxt").read_text(), ModelConfig())
    for part in ("name", "max_batch_size", "dynamic_batching"):
        assert getattr(config, part) == getattr(written, part)
    model = contract.MODELS[network]
    for entries, tensors in ((config.input, model.inputs), (config.output, model.outputs)):
        for entry, tensor in zip(entries, tensors, strict=True):
            assert entry.name == tensor.name
            pairs = zip(entry.dims, tensor.dims, strict=True)
            assert all(open_ in (-1, filled) for filled, open_ in pairs)
    assert [group.kind for group in config.instance_group] == [ModelInstanceGroup.KIND_GPU]


def test_each_kind_names_its_backend_and_its_file(tiny):
    found = {name: parsed(name, "unet", tiny) for name in ALL}
    assert {name: (c.backend, c.default_model_filename) for name, c in found.items()} == {
        "onnxruntime_gpu": ("onnxruntime", "model.onnx"),
        "onnxruntime_tensorrt": ("onnxruntime", "model.onnx"),
        "tensorrt": ("tensorrt", "model.plan"),
    }


@pytest.mark.parametrize("network", NAMES)
def test_the_accelerator_gets_only_settings_it_knows(network, tiny):
    config = parsed("onnxruntime_tensorrt", network, tiny)
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.name == "tensorrt"
    assert set(accelerator.parameters) == ACCELERATOR_KEYS
    assert accelerator.parameters["precision_mode"] == "FP16"
    shapes = accelerator.parameters["trt_profile_max_shapes"].split(",")
    assert [shape.split(":")[0] for shape in shapes] == [entry.name for entry in config.input]


def texts_of(pack, repository, build):
    side_files = engines._side_files(pack, repository, build)
    return configs.configs_of(pack, repository, build) | side_files


def test_an_export_leaves_the_configs_of_its_kind_and_names_them(tiny, tmp_path):
    engines.prepare(tmp_path)
    for engine, name in configs.KINDS.items():
        build = Build(engine=engine)
        texts = texts_of(tiny, tmp_path, build)
        engines._write_texts(tmp_path, texts)
        for network in NAMES:
            found = {path.stem for path in (tmp_path / network / "configs").iterdir()}
            assert found == {name}
        assert json.loads((tmp_path / FINISHED).read_text())["model_config"] == name


def test_while_small_files_change_the_repository_is_unfinished(tiny, tmp_path, monkeypatch):
    engines.prepare(tmp_path)
    build = Build()
    texts = texts_of(tiny, tmp_path, build)
    engines._write_texts(tmp_path, texts)
    finished = tmp_path / FINISHED
    before = finished.stat().st_mtime_ns
    engines._write_texts(tmp_path, texts)
    assert finished.stat().st_mtime_ns == before, "nothing changed, so nothing is written"
    seen = []
    write = durable.write_text
    monkeypatch.setattr(
        durable,
        "write_text",
        lambda path, text: seen.append(finished.exists()) or write(path, text),
    )
    tokenizer = "tokenizer/1/tokenizer.json"
    engines._write_texts(tmp_path, texts | {tokenizer: "{}"})
    assert not any(seen)
    assert finished.exists()


def test_sizes_of_another_pack(assembled):
    plus = assembled(ip_adapter="IP-Adapter/models/ip-adapter-plus_sd15.safetensors")
    config = parsed("onnxruntime_gpu", "image_encoder", plus)
    assert [list(entry.dims) for entry in config.output] == [[16, 64], [16, 64]]
    assert Widths.of(plus).crop == config.input[0].dims[1] == 32
