"""Packs and checkpoints that cannot be used: one sentence each, and nothing half-written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from export import command, files
from export.asked import Build, Target, Wanted
from export.checkpoints import random
from export.checkpoints.architectures import SMALL
from export.checkpoints.assemble import assemble
from export.checkpoints.find import pack_folder
from export.files import PackError
from export.pack import Pack
from pipeline.samplers import _SUPPORTED, NoiseSchedule
from tests.conftest import ROOT

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def copied(assembled, tmp_path):
    return shutil.copytree(assembled().folder, tmp_path / "pack", copy_function=shutil.copy)


def change(file, **changed):
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


def reason(folder):
    with pytest.raises(PackError) as caught:
        Pack(folder).check()
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_good_pack_passes(copied):
    Pack(copied).check()


def test_a_part_is_missing(copied):
    shutil.rmtree(copied / "controlnet")
    text = reason(copied)
    assert text.startswith(f"{copied} is not a pack: it has no folder controlnet.")


def test_a_folder_with_nothing_in_it(tmp_path):
    (tmp_path / "unet").mkdir()
    assert "has no folder clip, controlnet" in reason(tmp_path)


def test_a_config_is_missing(copied):
    (copied / "controlnet" / "config.json").unlink()
    assert f"{copied / 'controlnet' / 'config.json'} cannot be read" in reason(copied)


def test_an_sdxl_unet(copied):
    change(copied / "unet" / "config.json", addition_embed_type="text_time")
    assert "unet: it is an SDXL checkpoint. maquette serves Stable Diffusion 1.5" in reason(copied)


@pytest.mark.parametrize(
    ("folder", "changed", "expected"),
    [
        ("unet", {"in_channels": 9}, "in_channels is 9; expected: 4"),
        ("controlnet", {"layers_per_block": 3}, "layers_per_block is 3; expected: 2"),
        ("unet", {"time_cond_proj_dim": 256}, "time_cond_proj_dim is 256, which asks for an input"),
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type is timestep, which asks for"),
        ("unet", {"attention_type": "gated"}, "attention_type is gated; expected: default"),
        ("controlnet", {"layers_per_block": 1}, "layers_per_block is 1; expected: 2"),
        ("controlnet", {"global_pool_conditions": True}, "global_pool_conditions is true"),
        ("controlnet", {"conditioning_channels": 4}, "conditioning_channels is 4; expected: 3"),
        ("vae", {"shift_factor": 0.1}, "shift_factor is 0.1, and latents are not shifted here"),
        ("text_encoder", {"hidden_size": 1024}, "prompts have width 1024, the UNet's 64"),
        ("controlnet", {"block_out_channels": [1, 2, 3, 4]}, "channels are not the UNet's"),
        ("vae", {"latent_channels": 16}, "latent_channels is 16; expected: 4"),
        ("image_encoder", {"image_size": 336}, "its pictures have 336 pixels, not 32"),
    ],
)
def test_a_part_of_another_topology(copied, folder, changed, expected):
    change(copied / folder / "config.json", **changed)
    text = reason(copied)
    assert f"{copied / folder}: " in text
    assert expected in text
    assert "take this part from a checkpoint for SD 1.5" in text


def test_a_controlnet_of_another_family(copied):
    change(copied / "controlnet" / "config.json", cross_attention_dim=1024)
    text = reason(copied)
    assert "controlnet: its prompts have width 1024, the UNet's 64" in text
    assert "different families" in text


@pytest.mark.parametrize(
    "changed",
    [
        *({key: "other"} for key in _SUPPORTED),
        {"use_karras_sigmas": True},
        {"use_beta_sigmas": True},
        {"beta_start": None},
        {"beta_end": 1.5},
        {"num_train_timesteps": "many"},
    ],
    ids=str,
)
def test_a_schedule_is_refused_as_the_render_model_refuses_it(copied, changed):
    """Or it would stop `maquette up`, after an export that found nothing wrong."""
    file = copied / "scheduler" / "scheduler_config.json"
    change(file, **changed)
    with pytest.raises(ValueError, match="scheduler config|many") as refused:
        NoiseSchedule.from_config(json.loads(file.read_text()))
    assert f"{file} cannot be served: {refused.value}. Correct it" in reason(copied)


@pytest.mark.parametrize("size", [None, [64, 64], 0])
def test_a_unet_that_does_not_tell_its_size(copied, size):
    change(copied / "unet" / "config.json", sample_size=size)
    assert f"unet/config.json cannot be served: sample_size is {size}; expected" in reason(copied)


@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("unet/config.json", "sample_size"),
        ("unet/config.json", "layers_per_block"),
        ("controlnet/config.json", "cross_attention_dim"),
        ("vae/config.json", "latent_channels"),
        ("text_encoder/config.json", "vocab_size"),
        ("image_encoder/config.json", "projection_dim"),
        ("feature_extractor/preprocessor_config.json", "image_mean"),
        ("feature_extractor/preprocessor_config.json", "size"),
        ("scheduler/scheduler_config.json", "beta_start"),
    ],
)
def test_a_config_that_lacks_something(copied, file, key):
    path = copied / file
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))
    text = reason(copied)
    assert str(path) in text
    assert key in text


def test_words_that_the_text_encoder_never_saw(copied):
    """As a textual inversion leaves them in a checkpoint's tokenizer."""
    for part in ("tokenizer", "clip"):
        (copied / part / "added_tokens.json").write_text('{"<my-style>": 1024}')
    assert "has 1025 tokens, and" in reason(copied)


def test_weights_that_end_too_early(copied):
    file = copied / "unet" / WEIGHTS
    whole = file.read_bytes()
    file.write_bytes(whole[:-1000])
    text = reason(copied)
    assert (
        f"{file} has {len(whole) - 1000:,} bytes, where its header tells of {len(whole):,}" in text
    )
    assert "Download or copy it again" in text


@pytest.mark.parametrize("content", [b"", b"\x00" * 7, b"<html>not found</html>", b"\xff" * 64])
def test_a_file_that_is_something_else(copied, content):
    (copied / "vae" / WEIGHTS).write_bytes(content)
    assert "is no safetensors file" in reason(copied)


def test_config_and_weights_that_disagree_on_a_size(copied):
    change(copied / "vae" / "config.json", block_out_channels=[8, 16, 16, 64])
    text = reason(copied)
    assert str(copied / "vae" / WEIGHTS) in text
    assert "where config.json says [" in text
    assert "(and " in text
    assert f"Take {WEIGHTS} and config.json from the same checkpoint" in text


def test_weights_that_lack_a_tensor_or_have_one_too_many(copied):
    file = copied / "controlnet" / WEIGHTS
    state = load_file(file)
    middle = state.pop("mid_block.attentions.0.norm.weight").clone()
    file.unlink()
    save_file(state, file)
    assert "lacks mid_block.attentions.0.norm.weight, which config.json asks for" in reason(copied)
    save_file(
        {**state, "mid_block.attentions.0.norm.weight": middle, "extra": middle.clone()}, file
    )
    assert "has extra, which config.json knows nothing of" in reason(copied)


def adapter(copied, change_state):
    file = Pack(copied).ip_adapter_file
    state = load_file(file)
    file.unlink()
    save_file(change_state(state), file)
    return reason(copied)


def test_an_ip_adapter_with_unknown_tensors(copied):
    """FaceID adapters carry LoRA weights beside the keys and values."""
    extra = {"ip_adapter.0.to_q_lora.down.weight": torch.zeros(1)}
    text = adapter(copied, lambda state: state | extra)
    assert "that IP-Adapter for SD 1.5 has not: ip_adapter.0.to_q_lora.down.weight" in text
    assert "Use ip-adapter_sd15 or ip-adapter-plus_sd15" in text


def test_an_ip_adapter_whose_projection_has_more_than_ours(copied):
    text = adapter(copied, lambda state: state | {"image_proj.extra.weight": torch.zeros(1)})
    assert "ip-adapter_sd15.safetensors has no projection of IP-Adapter or its Plus" in text
    assert "extra.weight" in text


def test_an_ip_adapter_for_another_model(copied):
    def widen(state):
        return {
            name: torch.zeros(tensor.shape[0], 2048) if name.endswith("_ip.weight") else tensor
            for name, tensor in state.items()
        }

    assert "made for prompts of width 2048; this UNet's have 64" in adapter(copied, widen)


@pytest.mark.parametrize("stem", ["ip-adapter_sd15", "ip-adapter-plus_sd15"])
def test_an_ip_adapter_for_another_image_encoder(assembled, stem, tmp_path):
    made = assembled(ip_adapter=f"{random.IP_ADAPTER}/{stem}.safetensors")
    folder = shutil.copytree(made.folder, tmp_path / "pack", copy_function=shutil.copy)
    change(folder / "image_encoder" / "config.json", hidden_size=1664, projection_dim=1280)
    text = reason(folder)
    assert f"{stem}.safetensors reads an image encoder of width " in text
    assert "Take both from the same place" in text


def test_an_ip_adapter_that_is_none(copied):
    assert "lacks ip_adapter." in adapter(copied, lambda _state: {"image_proj.x": torch.zeros(1)})
    second = Pack(copied).ip_adapter_file.with_name("second.safetensors")
    second.write_bytes(b"")
    assert "must hold one .safetensors file" in reason(copied)


def test_halves_that_want_pictures_differently(copied):
    change(copied / "clip" / "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    assert "image_mean differs between" in reason(copied)


class TestSafetyChecker:
    @pytest.fixture
    def copied(self, assembled, tmp_path):
        made = assembled(safety_checker=True)
        return shutil.copytree(made.folder, tmp_path / "pack", copy_function=shutil.copy)

    def test_one_that_fits(self, copied):
        Pack(copied).check()

    def test_one_that_wants_other_pictures(self, copied):
        file = copied / "safety_checker" / "config.json"
        change(file, vision_config={**json.loads(file.read_text())["vision_config"],
                                    "image_size": 336})  # fmt: skip
        text = reason(copied)
        assert f"{copied / 'safety_checker'}: its pictures have 336 pixels, not 32" in text

    def test_one_that_is_something_else(self, copied):
        shutil.rmtree(copied / "safety_checker")
        shutil.copytree(copied / "clip", copied / "safety_checker")
        assert "which config.json" in reason(copied)

    def test_one_without_weights(self, copied):
        (copied / "safety_checker" / "model.safetensors").unlink()
        assert "safety_checker must hold one .safetensors file; found: none" in reason(copied)


def test_a_checkpoint_that_breaks_leaves_no_pack_behind(made_of, checkpoints, tmp_path):
    broken = shutil.copytree(checkpoints / random.CONTROLNET, tmp_path / "canny")
    file = broken / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(PackError) as caught:
        assemble(made_of(controlnet=broken), tmp_path / "packs" / "mine", print, SMALL)
    assert str(file) in str(caught.value)
    assert not list((tmp_path / "packs").iterdir())


def test_a_pack_that_fails_its_check_names_where_it_would_have_been(made_of, checkpoints, tmp_path):
    other = shutil.copytree(checkpoints / random.CONTROLNET, tmp_path / "canny")
    change(other / "config.json", cross_attention_dim=1024)
    with pytest.raises(PackError) as caught:
        assemble(made_of(controlnet=other), tmp_path / "packs" / "mine", print, SMALL)
    assert f"{tmp_path / 'packs' / 'mine' / 'controlnet'}: its prompts have" in str(caught.value)
    assert ".partial" not in str(caught.value)


def test_a_folder_that_was_not_made_from_checkpoints_is_never_replaced(made_of, tmp_path):
    """A checkpoint may be called like a pack of the user's own, or like packs/tiny."""
    own = tmp_path / "packs" / "tiny"
    own.mkdir(parents=True)
    (own / "pack.json").write_text('{"name": "tiny"}')
    with pytest.raises(PackError, match=r"tiny is there already .* --packs"):
        assemble(made_of(), own, print, SMALL)
    assert [path.name for path in own.iterdir()] == ["pack.json"]


@pytest.mark.parametrize(
    ("pack", "parts", "name"),
    [
        ("owner/name@main", {}, "name"),
        ("owner/name", {"lora": "lcm"}, "name+lcm"),
        ("files/model.v1.safetensors", {}, "model.v1"),
        (".", {}, "here"),
        ("..", {}, "above"),
        ("owner/name", {"ip_adapter": "/x/plus.bin", "clip": "openai/clip-vit-base-patch32"},
         "name+plus"),
    ],
)  # fmt: skip
def test_a_pack_is_named_after_what_it_is_made_of(tmp_path, monkeypatch, pack, parts, name):
    here = tmp_path / "above" / "here"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert pack_folder(Wanted(pack, Path("packs"), parts)) == Path("packs") / name


def test_an_sdxl_folder(made_of, tmp_path):
    (tmp_path / "xl" / "text_encoder_2").mkdir(parents=True)
    (tmp_path / "xl" / "text_encoder_2" / "config.json").write_text("{}")
    with pytest.raises(PackError, match=r"xl is an SDXL checkpoint \(it has text_encoder_2\)"):
        assemble(made_of(base=tmp_path / "xl"), tmp_path / "pack", print, SMALL)


def test_no_room(made_of, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(0, 0, 1000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(
        PackError, match=r"the pack mine needs 0\.0 GB in .* choose another .*--packs"
    ):
        assemble(made_of(), tmp_path / "packs" / "mine", print, SMALL)
    assert not (tmp_path / "packs").exists()


def test_a_single_file_with_parts_that_would_be_left_out(made_of, checkpoints, tmp_path):
    file = tmp_path / "merged.safetensors"
    weights = load_file(checkpoints / random.SINGLE_FILE)
    for name in ("control_model.zero_convs.0.0.weight", "model.diffusion_model.extra.weight"):
        save_file(weights | {name: torch.zeros(1)}, file)
        with pytest.raises(PackError, match=name.replace(".", r"\.")) as caught:
            assemble(made_of(base=file), tmp_path / "pack", print, SMALL)
        assert str(file) in str(caught.value)


def test_what_belongs_to_a_checkpoints_training_is_left_out(
    assembled, made_of, checkpoints, tmp_path
):
    file = tmp_path / "clip.safetensors"
    leftovers = {
        "cond_stage_model.transformer.text_projection.weight": torch.zeros(64, 64),
        "cond_stage_model.logit_scale": torch.zeros(()),
        "model_ema.diffusion_modelout2bias": torch.zeros(4),
        "sqrt_alphas_cumprod": torch.zeros(1000),
    }
    save_file(load_file(checkpoints / random.SINGLE_FILE) | leftovers, file)
    assemble(made_of(base=file), tmp_path / "pack", print, SMALL)


class TestCommand:
    """What the user of ``maquette export`` reads."""

    def run(self, tmp_path, pack, **parts):
        wanted = Wanted(str(pack), tmp_path / "packs", parts)
        return command.run(wanted, Target(tmp_path / "repository"), Build())

    def test_a_wrong_pack_is_one_line_and_exit_1(self, copied, tmp_path):
        (copied / "vae" / WEIGHTS).write_bytes(b"")
        repository = tmp_path / "repository"
        done = subprocess.run(
            [sys.executable, "-m", "export", "--pack", copied, "--repository", repository],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith(f"export: {copied / 'vae' / WEIGHTS} is no safetensors file")
        assert done.stderr.count("\n") == 1
        assert not repository.exists()

    def test_parts_for_a_pack_that_has_them(self, copied, tmp_path, capsys):
        assert self.run(tmp_path, copied, lora="lcm", clip="x") == 1
        assert "already is a pack, so --lora, --clip would change it" in capsys.readouterr().err

    def test_the_option_that_is_wrong_is_named(self, checkpoints, tmp_path, capsys):
        code = self.run(tmp_path, checkpoints / random.BASE, controlnet="/nowhere/canny")
        assert code == 1
        assert "export: --controlnet: /nowhere/canny is neither here" in capsys.readouterr().err

    def test_a_safety_checker_that_a_single_file_does_not_bring(
        self, checkpoints, tmp_path, capsys
    ):
        wanted = Wanted(
            str(checkpoints / random.SINGLE_FILE), tmp_path / "packs", safety_checker=True
        )
        assert command.run(wanted, Target(tmp_path / "repository"), Build()) == 1
        told = capsys.readouterr().err
        assert f"{random.SINGLE_FILE} is a single file, which brings no safety checker" in told

    def test_a_name_that_is_taken_is_told_before_anything_is_downloaded(
        self, checkpoints, tmp_path, capsys, monkeypatch
    ):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        (tmp_path / "packs" / random.BASE).mkdir(parents=True)
        assert self.run(tmp_path, checkpoints / random.BASE) == 1
        assert "is there already and was not made from checkpoints" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("name", "content", "expected"),
        [
            ("old.ckpt", b"PK", "--pack: .*old.ckpt is no .safetensors file"),
            ("examples/readme.txt", b"", "--pack: .*examples: unet/config.json is missing"),
            ("xl/text_encoder_2/config.json", b"{}", "--pack: .*xl is an SDXL checkpoint"),
        ],
    )
    def test_a_wrong_base_is_told_before_anything_is_downloaded(
        self, tmp_path, capsys, monkeypatch, name, content, expected
    ):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        base = tmp_path / Path(name).parts[0]
        assert self.run(tmp_path, base) == 1
        assert re.search(expected, capsys.readouterr().err)
