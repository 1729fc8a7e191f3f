"""The second version of the UNet: a pack may have an LCM-LoRA, and then it is exported fused in."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file

from export import build, engines
from export.asked import Build
from export.files import PackError
from export.networks import wrap
from export.onnx import CPU, TOLERANCE, example_inputs, run_onnx
from export.pack import Pack
from export.pack_files import LCM_LORA
from export.shapes import Size
from pipeline import contract
from tests.amounts import sample
from tests.conftest import ROOT
from tests.exported import EXPORTED
from versions.catalogue import FINISHED

FILE = "pytorch_lora_weights.safetensors"
SECOND = f"unet/{contract.FEW_STEPS_VERSION}"
LAYER = "mid_block.resnets.0.conv1"


@pytest.fixture
def copied(pack, tmp_path):
    return shutil.copytree(pack.folder, tmp_path / "tiny")


def without_lora(folder):
    shutil.rmtree(folder / LCM_LORA)
    return Pack(folder)


def test_the_lora_is_fused_as_its_matrices_say(pack):
    plain, few = pack.unet.state_dict(), pack.in_few_steps().unet.state_dict()
    lora = {name: value.float() for name, value in load_file(pack.lcm_lora_file).items()}
    layers = {name.split(".lora_")[0].removeprefix("unet.") for name in lora}
    assert plain.keys() == few.keys()
    assert f"{LAYER}" in layers
    for name, before in plain.items():
        layer = name.removesuffix(".weight")
        if layer in layers:
            down, up = (lora[f"unet.{layer}.lora_{end}.weight"] for end in "AB")
            added = (up.flatten(1) @ down.flatten(1)).reshape(before.shape)
            torch.testing.assert_close(few[name], before + added, rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(few[name], before), name


def test_only_the_unet_of_few_steps_changes_with_the_lora(pack, copied):
    file = copied / LCM_LORA / FILE
    other = {name: 2 * value for name, value in load_file(file).items()}
    save_file(other, file)
    changed = Pack(copied)
    assert changed.digest("unet") == pack.digest("unet")
    assert changed.in_few_steps().digest("unet") != pack.in_few_steps().digest("unet")
    assert changed.in_few_steps().digest("controlnet") == pack.digest("controlnet")


def test_letting_go_of_the_networks_it_stays_the_pack_of_few_steps(pack):
    few = pack.in_few_steps()
    before = few.unet.conv_out.weight.clone()
    few.release()
    assert few == pack.in_few_steps()
    assert torch.equal(few.unet.conv_out.weight, before)


@pytest.fixture(
    scope="module", params=sample(["what ships", "random weights"], ["what ships"]), ids=str
)
def exported(request, tmp_path_factory):
    """A pack, a repository in which the second version of its UNet is the only engine, and what
    became of it. What ships is exported before the tests begin."""
    repository = tmp_path_factory.mktemp("repository")
    engines.prepare(repository)
    if request.param == "what ships":
        made_of = Pack(ROOT / "packs" / "tiny")
        shutil.copytree(EXPORTED / SECOND, repository / SECOND)
    else:
        made_of = request.getfixturevalue("pack")
    few = made_of.in_few_steps()
    return made_of, repository, engines._bring_up_to_date("unet", few, repository, Build(), False)


def test_it_is_exported_beside_the_first_and_says_what_torch_says(exported):
    pack, repository, outcome = exported
    assert outcome.parity.passed
    assert outcome.parity.tolerance == TOLERANCE
    assert outcome.network == SECOND
    assert [path.name for path in (repository / "unet").iterdir() if path.is_dir()] == [
        str(contract.FEW_STEPS_VERSION)
    ]
    session = onnxruntime.InferenceSession(repository / SECOND / build.ONNX_FILE, providers=[CPU])
    inputs = example_inputs("unet", pack, Size(batch=1, height=24, width=16), seed=9)
    (found,) = run_onnx(session, inputs)
    with torch.inference_mode():
        few, plain = (
            wrap("unet", one)(*inputs.values()).numpy() for one in (pack.in_few_steps(), pack)
        )
    np.testing.assert_allclose(found, few, atol=TOLERANCE * max(1, np.abs(few).max()))
    assert np.abs(found - plain).max() > 0.05, "the LoRA changed nothing"


def test_what_is_up_to_date_is_told_from_the_first_version(exported, monkeypatch):
    pack, repository, _ = exported
    built = []
    monkeypatch.setattr(engines, "_build", lambda *args: built.append(args))
    few = pack.in_few_steps()
    assert not engines._bring_up_to_date("unet", few, repository, Build(), False).built
    assert not built
    engines._bring_up_to_date("unet", pack, repository, Build(), False)
    assert built[0][2] == repository / "unet" / engines.VERSION


def facts(pack, repository):
    return json.loads(engines._side_files(pack, repository, Build())[FINISHED])


def test_the_render_model_is_told_of_it(exported, copied, quick):
    pack, repository, _ = exported
    told = facts(pack, repository)
    assert told["few_steps"] is True
    assert SECOND in told["engines"]
    told = facts(without_lora(copied), repository)
    assert told["few_steps"] is False
    assert SECOND not in told["engines"]


def test_that_of_another_pack_goes_before_anything_else_is_built(exported, copied, quick, tmp_path):
    pack, exported_to, _ = exported
    repository = shutil.copytree(exported_to, tmp_path / "repository")
    finished = repository / FINISHED
    finished.parent.mkdir(exist_ok=True)
    finished.touch()
    engines._remove_others(pack, repository)
    assert (repository / SECOND).exists()
    assert finished.exists()
    export = engines.export_pack(
        without_lora(copied), repository, Build(), report=lambda _doing: None
    )
    next(export)
    assert not (repository / SECOND).exists()
    assert not finished.exists()


def test_every_network_is_built_once_and_the_unet_twice(pack, copied):
    names = [engines.engine_name(*one) for one in engines._to_build(pack)]
    assert names == [*engines.names_of(pack), SECOND]
    assert [name for name, _ in engines._to_build(without_lora(copied))] == names[:-1]


def test_no_version_without_an_engine_reaches_a_repository_of_the_users_own(tmp_path, monkeypatch):
    """Triton loads every version of the UNet, and would fail over an empty one."""
    static = tmp_path / "static"
    shutil.copytree(engines.BUNDLED_MODELS, static, ignore=shutil.ignore_patterns("*.onnx"))
    for version in ("1", "2"):
        (static / "unet" / version).mkdir(exist_ok=True)
    monkeypatch.setattr(engines, "BUNDLED_MODELS", static)
    engines.prepare(tmp_path / "repository")
    assert [path.name for path in (tmp_path / "repository" / "unet").iterdir()] == ["config.pbtxt"]


def zeros(layer, down, up):
    return {
        f"unet.{layer}.lora_A.weight": torch.zeros(4, down, 3, 3),
        f"unet.{layer}.lora_B.weight": torch.zeros(up, 4, 1, 1),
    }


def test_what_tensorrt_compiled_of_one_version_is_not_taken_for_the_other(
    pack, tmp_path, monkeypatch
):
    """ONNX Runtime's provider tells networks by the names of their tensors."""
    monkeypatch.setattr(build, "wrap", lambda _name, one, _attend: Tiny(one))
    names = {}
    for version, one in (("1", pack), ("2", pack.in_few_steps())):
        folder = tmp_path / version
        folder.mkdir()
        assert build.build_network("unet", one, folder, Build("onnx-tensorrt")).parity.passed
        graph = onnx.load(folder / build.ONNX_FILE).graph
        names[version] = {name for node in graph.node for name in node.output}
        assert [output.name for output in graph.output] == ["noise_pred"]
    assert names["1"] & names["2"] == {"noise_pred"}


class Tiny(torch.nn.Module):
    """Takes the place of a UNet, to be exported in no time."""

    def __init__(self, pack):
        super().__init__()
        self.weight = torch.nn.Parameter(pack.in_few_steps().unet.conv_out.bias[:, None, None])

    def forward(self, sample, timestep, prompt_embeds, image_embeds, ip_adapter_scale, *residuals):
        rows = [given.flatten(1).mean(dim=1) for given in (timestep, prompt_embeds, image_embeds,
                ip_adapter_scale, *residuals)]  # fmt: skip
        return torch.tanh(sample * self.weight) + sum(rows)[:, None, None, None]


WRONG = {
    "another size": (
        zeros(LAYER, 320, 640),
        rf"{LAYER} of size \[640, 320, 3, 3\], .* is \[128, 128, 3, 3\]",
    ),
    "another topology": (
        zeros("mid_block.resnets.7.conv1", 128, 128),
        "resnets.7.conv1, which the",
    ),
    "half of a layer": (
        dict([next(iter(zeros(LAYER, 128, 128).items()))]),
        rf"lacks the up matrix of unet.{LAYER}",
    ),
    "nothing for a UNet": ({"text_encoder.a.lora_A.weight": torch.zeros(4, 4)}, "has nothing for"),
    "a half that the plain UNet shares": (
        {**zeros(LAYER, 128, 128), "text_encoder.a.lora_A.weight": torch.zeros(4, 4)},
        "changes the text encoder, which stays as it is here: text_encoder.a",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_lora_that_does_not_fit_is_told_in_one_sentence(copied, wrong):
    tensors, expected = WRONG[wrong]
    file = copied / LCM_LORA / FILE
    save_file(tensors, file)
    with pytest.raises(PackError, match=expected) as caught:
        Pack(copied).check()
    text = str(caught.value)
    assert text.startswith(str(file))
    assert text.endswith(f"Take it from where {copied} came from.")
    assert "\n" not in text


def test_a_lora_that_is_cut_short(copied):
    file = copied / LCM_LORA / FILE
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(PackError, match=rf"{FILE} has .* bytes, where its header tells of"):
        Pack(copied).check()


def test_a_folder_without_a_lora(copied):
    (copied / LCM_LORA / FILE).unlink()
    with pytest.raises(PackError, match=rf"{LCM_LORA} must hold one .safetensors file: none"):
        Pack(copied).check()
