"""Up to the calls into TensorRT: no builder runs where these tests do."""

from __future__ import annotations

import math
import os
import sys

import onnx
import pytest

from export import build, engines, tensorrt
from export.asked import Build
from export.files import PackError
from export.networks import NAMES
from pipeline import contract
from pipeline.request import RANGES, SIZE_STEP
from tests.export.fake_tensorrt import MEASURED, PLAN, TensorRT


@pytest.mark.parametrize("network", NAMES)
def test_profiles_cover_what_the_contract_and_the_request_allow(network, tiny):
    profile = tensorrt.profile_of(network, tiny)
    assert list(profile) == [tensor.name for tensor in contract.MODELS[network].inputs]
    for name, (low, middle, high) in profile.items():
        assert (low[0], middle[0], high[0]) == (1, 2, contract.MODELS[network].max_batch_size), name
        assert all(a <= b <= c for a, b, c in zip(low, middle, high, strict=True))
        assert -1 not in low + middle + high
        assert math.prod(high) < 2**31


def test_the_autoencoders_largest_layers_stay_below_what_tensorrt_can_count(tiny):
    """Stable Diffusion 1.5's decoder has 256 channels at full size."""
    rows, _, height, width = tensorrt.profile_of("vae_decoder", tiny)["latents"][2]
    assert rows * 256 * (8 * height) * (8 * width) < 2**31


def test_sizes_are_the_requests(tiny):
    low, middle, high = tensorrt.profile_of("unet", tiny)["sample"]
    assert low[1:] == (4, SIZE_STEP // 8, SIZE_STEP // 8)
    assert middle[1:] == (4, 32, 32)
    assert high[1:] == (4, int(RANGES["height"].high) // 8, int(RANGES["width"].high) // 8)
    residual = tensorrt.profile_of("unet", tiny)["mid_block_res"]
    assert [shape[1:] for shape in residual] == [(128, 1, 1), (128, 4, 4), (128, 16, 16)]


@pytest.fixture
def library(monkeypatch, tmp_path):
    def install(**answers):
        made = TensorRT(**answers)
        monkeypatch.setitem(sys.modules, "tensorrt", made)
        program = tmp_path / "nvidia-smi"
        program.write_text('#!/bin/sh\necho "NVIDIA L4, 8.9"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return made

    return install


@pytest.fixture
def network_folder(tmp_path):
    folder = tmp_path / "vae_encoder" / ".1.partial"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    return folder


def test_builder_is_told_types_room_profile_and_known_timings(library, tiny, network_folder):
    made, timings = library(), network_folder.parents[1] / tensorrt.CACHE_FILE
    timings.write_bytes(b"before")
    path = network_folder / "model.onnx"
    told = tensorrt.build_plan("vae_encoder", tiny, path, "fp16")
    ((definition, config),) = made.built
    assert (definition.flags, definition.onnx) == (1 << 1, path.read_bytes())
    assert config.memory == {"workspace": tensorrt.WORKSPACE}
    (profile,) = config.profiles
    assert profile.shapes == {"pixels": tensorrt.profile_of("vae_encoder", tiny)["pixels"]}
    assert (network_folder / tensorrt.PLAN_FILE).read_bytes() == PLAN
    assert timings.read_bytes() == b"before" + MEASURED
    assert told["tensorrt"] == "10.7.0"
    assert told["gpu"] == "NVIDIA L4 (compute capability 8.9)"
    assert told["profile"] == "pixels 1x3x64x64 2x3x256x256 4x3x1024x1024"


def test_timings_of_another_gpu_are_left(library, tiny, network_folder):
    library(known=False)
    timings = network_folder.parents[1] / tensorrt.CACHE_FILE
    timings.write_bytes(b"before")
    tensorrt.build_plan("vae_encoder", tiny, network_folder / "model.onnx", "fp16")
    assert timings.read_bytes() == MEASURED


def test_an_engine_of_another_gpu_or_tensorrt_is_not_up_to_date(library, tiny):
    made = library()
    first = engines.fingerprint_of("vae_encoder", tiny, Build("tensorrt", "fp16"))
    made.__version__ = "10.9.0"
    assert engines.fingerprint_of("vae_encoder", tiny, Build("tensorrt", "fp16")) != first


def test_no_gpu_is_told_before_anything_is_built(library, tiny, network_folder, tmp_path):
    made = library()
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    with pytest.raises(PackError, match="nvidia-smi finds none"):
        tensorrt.build_plan("vae_encoder", tiny, network_folder / "model.onnx", "fp16")
    assert not made.built


def test_the_engine_is_made_of_the_checked_half_precision_file(library, tiny, network_folder):
    made = library()
    built = build.build_network("vae_encoder", tiny, network_folder, Build("tensorrt", "fp16"))
    assert built.parity.passed
    assert built.hardware["checked_on"] == "CPUExecutionProvider"
    ((definition, _),) = made.built
    assert half_inside(definition.onnx)
    assert [path.name for path in network_folder.iterdir()] == [tensorrt.PLAN_FILE]


def half_inside(content):
    model = onnx.load_model_from_string(content)
    domains = {node.domain for node in model.graph.node}
    assert domains <= {"", "ai.onnx"}, "TensorRT reads none of ONNX Runtime's own operators"
    return onnx.TensorProto.FLOAT16 in {tensor.data_type for tensor in model.graph.initializer}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"parses": False}, r"TensorRT 10.7.0 cannot read vae_encoder: no such operator"),
        ({"builds": False}, r"could not build vae_encoder.*--engine onnx"),
    ],
)
def test_what_it_cannot_do_is_told(library, tiny, network_folder, answers, expected):
    library(**answers)
    with pytest.raises(PackError, match=expected):
        tensorrt.build_plan("vae_encoder", tiny, network_folder / "model.onnx", "fp16")
    assert not (network_folder / tensorrt.PLAN_FILE).exists()


def test_where_there_is_none_the_way_is_told(tiny, network_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(PackError, match=r"no TensorRT in this environment.*docker/README.md"):
        tensorrt.build_plan("vae_encoder", tiny, network_folder / "model.onnx", "fp16")
