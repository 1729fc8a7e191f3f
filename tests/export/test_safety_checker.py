"""The safety checker says what diffusers' says; a pack may have one, and then it is exported."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from google.protobuf import text_format
from onnx import TensorProto
from tritonclient.grpc.model_config_pb2 import ModelConfig

from export import build, engines
from export.asked import Build
from export.build import build_network
from export.configs import config_text, configs_of
from export.networks import NAMES, OPTIONAL, names_of, wrap
from export.onnx import CPU, TOLERANCE
from export.shapes import Widths
from tests.conftest import ROOT
from versions.catalogue import FINISHED

NAME = "safety_checker"
STEP = 1e-4
"""Far more than arithmetic's own error, and less than what rounding to three digits takes away."""


@pytest.fixture(scope="module")
def pack(assembled):
    return assembled(safety_checker=True)


@pytest.fixture(scope="module")
def built(pack, tmp_path_factory):
    """Built for fp16, which it has to ignore."""
    folder = tmp_path_factory.mktemp(NAME)
    return build_network(NAME, pack, folder, Build(precision="fp16")), folder / build.ONNX_FILE


@pytest.fixture(scope="module")
def pictures(pack):
    """``pixel_values`` of 200 pictures of different colours, noise in them."""
    random, crop = torch.Generator().manual_seed(3), Widths.of(pack).crop
    noise = torch.randn((200, 3, crop, crop), generator=random)
    return noise + 2 * torch.randn((200, 3, 1, 1), generator=random)


@pytest.fixture
def thresholds(pack):
    """Both kinds, to be changed; they are put back."""
    checker = pack.safety_checker
    both = checker.concept_embeds_weights.data, checker.special_care_embeds_weights.data
    before = [one.clone() for one in both]
    yield both
    for one, old in zip(both, before, strict=True):
        one.copy_(old)


def by_diffusers(pack, pixel_values):
    blank = np.zeros((len(pixel_values), 8, 8, 3))
    return np.array(pack.safety_checker(pixel_values, blank)[1])


def unsafe(pack, pixel_values):
    with torch.inference_mode():
        return wrap(NAME, pack)(pixel_values)[:, 0].numpy() > 0


def cosines(pack, pixel_values, concepts):
    checker = pack.safety_checker
    with torch.inference_mode():
        embeds = checker.visual_projection(checker.vision_model(pixel_values).pooler_output)
        return torch.cosine_similarity(embeds[:, None], concepts[None], dim=-1)


def test_the_engine_says_what_diffusers_says(pack, built, pictures):
    session = onnxruntime.InferenceSession(built[1], providers=[CPU])
    (margins,) = session.run(["unsafe"], {"pixel_values": pictures.numpy()})
    said = by_diffusers(pack, pictures)
    assert margins.shape == (200, 1)
    assert 20 < said.sum() < 180, "pictures of one kind would prove little"
    np.testing.assert_array_equal(margins[:, 0] > 0, said)


def test_special_care_lowers_every_threshold(pack, pictures, thresholds):
    cared = by_diffusers(pack, pictures)
    np.testing.assert_array_equal(unsafe(pack, pictures), cared)
    thresholds[1].fill_(1)  # no picture is that near to a special concept
    plain = by_diffusers(pack, pictures)
    np.testing.assert_array_equal(unsafe(pack, pictures), plain)
    assert (cared & ~plain).any(), "there was no picture that special care decided"
    assert not (plain & ~cared).any()


@pytest.mark.parametrize("kind", ["concept", "special"])
@pytest.mark.parametrize("above", [-STEP, 0.0005 - STEP, 0.0005 + STEP])
def test_scores_are_rounded_as_diffusers_rounds(pack, pictures, thresholds, kind, above):
    """One whose score is 0.0004 is safe, which a plain comparison would not say."""
    picture, checker = pictures[:1], pack.safety_checker
    for one in thresholds:
        one.fill_(1)
    if kind == "concept":
        thresholds[0][5] = cosines(pack, picture, checker.concept_embeds)[0, 5] - above
    else:
        # The concept is found only where special care is taken.
        thresholds[0][5] = cosines(pack, picture, checker.concept_embeds)[0, 5] + 0.005
        thresholds[1][2] = cosines(pack, picture, checker.special_care_embeds)[0, 2] - above
    assert by_diffusers(pack, picture).tolist() == [above > 0.0005]
    assert unsafe(pack, picture).tolist() == [above > 0.0005]


def test_it_stays_exact_in_an_fp16_build(built):
    parity = built[0].parity
    assert parity.passed
    assert parity.tolerance == TOLERANCE
    weights = onnx.load(built[1]).graph.initializer
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in weights}


def test_the_config_for_a_gpu_fits_the_engine(pack, built):
    """An output's dims have to be the engine's, which Triton's native backend compares."""
    text = config_text("onnxruntime_tensorrt", NAME, pack, ROOT / "model_repository")
    config = text_format.Parse(text, ModelConfig())
    session = onnxruntime.InferenceSession(built[1], providers=[CPU])
    assert session.get_outputs()[0].shape[1:] == list(config.output[0].dims) == [1]
    assert list(config.input[0].dims) == [3, 32, 32]
    (accelerator,) = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert accelerator.parameters["precision_mode"] == "FP32"


def test_a_pack_has_it_or_not(pack, assembled):
    assert OPTIONAL == (NAME,)
    assert names_of(pack) == (*NAMES, NAME)
    assert names_of(assembled()) == NAMES


def test_that_of_another_pack_goes_before_anything_else_is_built(pack, assembled, quick, tmp_path):
    engines.prepare(tmp_path)
    engines._write_texts(
        tmp_path, configs_of(pack, tmp_path, Build()) | {FINISHED: '{"pack": "other"}'}
    )
    stale, finished = tmp_path / NAME / engines.VERSION, tmp_path / FINISHED
    stale.mkdir()
    (stale / build.ONNX_FILE).touch()
    engines._remove_others(pack, tmp_path)
    assert stale.exists()
    assert finished.exists()
    export = engines.export_pack(assembled(), tmp_path, Build(), report=lambda _doing: None)
    assert next(export).network == NAMES[0]
    assert not stale.exists()
    assert not finished.exists()
    engines._write_texts(tmp_path, configs_of(assembled(), tmp_path, Build()))
    assert [path.name for path in (tmp_path / NAME).rglob("*.pbtxt")] == ["config.pbtxt"]
