"""A pack of another topology than Stable Diffusion 1.5's, from checkpoints to a picture."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from evaluation.in_torch import TorchInfer
from export import engines
from export.asked import Build
from export.checkpoints import random
from export.checkpoints.architectures import SMALL
from export.checkpoints.assemble import Checkpoints, assemble
from export.checkpoints.hub import Source
from export.files import PackError
from export.networks import wrap
from export.onnx import example_inputs
from export.pack import Pack
from export.shapes import Size
from pipeline import contract
from pipeline.errors import InvalidRequest
from pipeline.images import decode
from pipeline.painter import PackFacts
from pipeline.render import render
from pipeline.request import RenderRequest
from pipeline.samplers import NoiseSchedule
from pipeline.topology import SD15, Topology, from_facts
from serving.onnx_network import OnnxNetwork
from tests.export.test_networks import reference_row
from tests.model_repository.test_configs import config_facts, facts
from versions.catalogue import FINISHED

OTHER = Topology(
    attention=(False, True, True),
    layers_per_block=1,
    latent_channels=8,
    vae_scale_factor=4,
    context_length=40,
    clip_dim=96,
)
"""Three levels of which the first does not attend, one layer a block, latents of a quarter."""
ARCHITECTURE = replace(
    SMALL,
    topology=OTHER,
    channels=(16, 32, 32),
    hint_channels=(8, 16, 32),
    vae_channels=(8, 16, 32),
    clip_text=replace(SMALL.clip_text, projection=OTHER.clip_dim),
    clip_image=replace(SMALL.clip_image, projection=OTHER.clip_dim),
)
SIZE = Size(batch=2, height=16, width=24)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other")
    random.write_checkpoints(folder, ARCHITECTURE, seed=0, report=lambda _part: None)
    names = {
        "base": random.BASE,
        "controlnet": random.CONTROLNET,
        "ip_adapter": f"{random.IP_ADAPTER}/ip-adapter_sd15.safetensors",
        "image_encoder": f"{random.IP_ADAPTER}/image_encoder",
        "clip": random.CLIP,
    }
    made_of = Checkpoints(**{name: Source(folder / path, path) for name, path in names.items()})
    return assemble(made_of, folder / "pack", lambda _part: None, ARCHITECTURE)


def test_it_is_read_from_the_packs_own_configs(pack):
    assert pack.topology == OTHER


def test_unet_and_controlnet_equal_diffusers(pack):
    control = example_inputs("controlnet", pack, SIZE, seed=1)
    unet = example_inputs("unet", pack, SIZE, seed=2)
    with torch.inference_mode():
        residuals = wrap("controlnet", pack)(*control.values())
        unet |= {name: control[name] for name in ("sample", "timestep", "prompt_embeds")}
        unet |= dict(zip(OTHER.residuals, residuals, strict=True))
        found = wrap("unet", pack)(*unet.values())
    for row in range(SIZE.batch):
        expected = reference_row(pack, control, unet, row)
        torch.testing.assert_close(found[row], expected, atol=2e-5, rtol=1e-4)


def test_the_repository_of_the_written_configs_is_not_overwritten(pack):
    with pytest.raises(PackError, match="of another topology. Choose another folder with --repo"):
        engines.prepare(engines.BUNDLED_MODELS, pack.topology)


@pytest.mark.parametrize("model", contract.models(OTHER).values(), ids=lambda model: model.name)
def test_configs_are_written_for_it(model, repository):
    config = config_of(repository, model.name)
    assert [config_facts(tensor) for tensor in config.input] == [facts(t) for t in model.inputs]
    assert [config_facts(tensor) for tensor in config.output] == [facts(t) for t in model.outputs]
    known = {tensor.name for tensor in model.inputs}
    for step in config.ensemble_scheduling.step:
        composing = contract.models(OTHER)[step.model_name]
        assert set(step.input_map) == {tensor.name for tensor in composing.inputs}
        assert set(step.input_map.values()) <= known
        assert set(step.output_map) <= {tensor.name for tensor in composing.outputs}
        known |= set(step.output_map.values())


def test_what_is_written_by_hand_comes_back_with_its_topology(repository):
    engines.prepare(repository, SD15)
    for name in contract.MODELS:
        written = (engines.BUNDLED_MODELS / name / "config.pbtxt").read_text(encoding="utf-8")
        assert (repository / name / "config.pbtxt").read_text(encoding="utf-8") == written
    engines.prepare(repository, OTHER)
    assert len(config_of(repository, "controlnet").output) == len(OTHER.residuals)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    engines.prepare(folder, OTHER)
    return folder


def config_of(repository, name):
    text = (repository / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.fixture(scope="module")
def exported(pack, tmp_path_factory):
    """The engines of a step; the others are exported as they are for any pack."""
    folder, only = tmp_path_factory.mktemp("exported"), ("controlnet", "unet")
    done = engines.export_pack(pack, folder, Build(), only=only, report=lambda _doing: None)
    assert all(outcome.parity.passed for outcome in done)
    return folder


class SteppedByEngines(TorchInfer):
    """A pack in torch whose ControlNet and UNet are engines."""

    def __init__(self, pack, repository):
        super().__init__(pack)
        self.engines = {
            name: OnnxNetwork(repository / name / "1" / "model.onnx")
            for name in ("controlnet", "unet")
        }

    def denoise(self, inputs):
        known = dict(inputs)
        for name, network in self.engines.items():
            given = {tensor.name: known[tensor.name] for tensor in self.models[name].inputs}
            known |= network.run([given])[0]
        return known


def wanted(style_image, sketch, **changed):
    asked = {"num_inference_steps": 3, "width": 128, "height": 192, "seed": 5} | changed
    return RenderRequest(sketch, "a house", style_images=(style_image,), **asked)


async def painted(infer, pack, request):
    async def ignore(_step, _steps, _previews):
        pass

    schedule = NoiseSchedule.from_config(pack.scheduler_config())
    facts = PackFacts(schedule, pack.facts()["native_size"], topology=pack.topology)
    done = await render(infer, request, facts, ignore)
    return np.asarray(decode(done.images[0], "render")).astype(int)


@pytest.mark.timeout(900)
async def test_the_engines_paint_what_torch_paints(pack, exported, sketch, style_image):
    each = tuple(np.linspace(0, 1, len(OTHER.cross_attention_layers)).tolist())
    request = wanted(style_image, sketch, ip_adapter_scale=each)
    found = await painted(SteppedByEngines(pack, exported), pack, request)
    expected = await painted(TorchInfer(pack), pack, request)
    assert found.shape == (192, 128, 3)
    assert np.abs(found - expected).max() <= 1
    assert expected.std() > 1
    other = await painted(SteppedByEngines(pack, exported), pack, wanted(style_image, sketch))
    assert np.abs(found - other).max() > 1


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_of_it_is_exported(pack, tmp_path):
    done = list(engines.export_pack(pack, tmp_path, Build(), report=lambda _doing: None))
    assert [outcome.network for outcome in done if not outcome.parity.passed] == []
    assert from_facts(json.loads((tmp_path / FINISHED).read_text(encoding="utf-8"))) == OTHER


async def test_strengths_of_another_topology_are_refused(pack, sketch, style_image):
    request = wanted(style_image, sketch, ip_adapter_scale=(0.5,) * 16)
    with pytest.raises(InvalidRequest, match=r"16 values; allowed: 1 value, or 7 \(one per cross"):
        await painted(None, pack, request)


@pytest.mark.parametrize(
    ("folder", "changed", "expected"),
    [
        ("unet", {"up_block_types": ["UpBlock2D"] * 3}, "up_block_types is ['UpBlock2D', "),
        ("unet", {"layers_per_block": [1, 2, 1]}, "layers_per_block is [1, 2, 1]; expected: one"),
        ("unet", {"mid_block_type": None}, "mid_block_type is None; expected: UNetMidBlock2DCross"),
        ("unet", {"transformer_layers_per_block": 2}, "transformer_layers_per_block is 2; expect"),
        ("controlnet", {"layers_per_block": 2}, "layers_per_block is 2; expected: 1"),
        ("controlnet", {"down_block_types": ["DownBlock2D"] * 3}, "down_block_types is ['Down"),
        ("vae", {"block_out_channels": [8, 16]}, "a latent is 2 pixels a side, and ControlNet's 4"),
        ("clip", {"text_config": {"max_position_embeddings": 77}}, "its texts have 77 tokens, "),
    ],
)
def test_parts_that_are_not_of_one_topology(pack, tmp_path, folder, changed, expected):
    copied = shutil.copytree(pack.folder, tmp_path / "pack")
    file = copied / folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changed))
    with pytest.raises(PackError) as refused:
        Pack(copied).check()
    assert f"{copied / folder}: {expected}" in str(refused.value)
