"""Published checkpoints to a pack: every layout ends in the same networks."""

from __future__ import annotations

import json
import os
import shutil
from itertools import product

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from export.checkpoints import ldm, random
from export.checkpoints.architectures import SD15, SMALL
from export.checkpoints.assemble import assemble
from export.checkpoints.hub import UNKNOWN_LICENCE, Source
from export.files import PackError
from export.networks import wrap
from export.onnx import example_inputs
from export.shapes import Size, Widths
from tests.amounts import sample

PLUS = f"{random.IP_ADAPTER}/ip-adapter-plus_sd15"


def state(pack, name):
    return {key: value.clone() for key, value in getattr(pack, name).state_dict().items()}


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


@pytest.mark.parametrize("network", ["unet", "vae", "text_encoder"])
def test_a_single_file_gives_the_networks_of_the_folder(assembled, network):
    """diffusers' converter reads the names of the published files; both hold the same weights."""
    assert_equal(state(assembled(base=random.SINGLE_FILE), network), state(assembled(), network))


def test_a_single_file_brings_vocabulary_and_preprocessing_from_clip(assembled):
    single, folder = assembled(base=random.SINGLE_FILE), assembled()
    assert single.tokenizer_json() == folder.tokenizer_json()
    assert single.preprocessor_config() == folder.preprocessor_config()
    assert single.scheduler_config()["beta_schedule"] == "scaled_linear"


@pytest.mark.parametrize(
    "stem", sample(["ip-adapter_sd15", "ip-adapter-plus_sd15"], {"ip-adapter-plus_sd15"})
)
def test_a_pickled_ip_adapter_is_the_same_as_safetensors(assembled, stem):
    files = (
        assembled(ip_adapter=f"{random.IP_ADAPTER}/{stem}.{ending}").ip_adapter_file
        for ending in ("bin", "safetensors")
    )
    assert_equal(*(load_file(file) for file in files))


def test_a_pickle_that_holds_more_than_tensors_is_refused(made_of, checkpoints, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "it ran"),))

    file = tmp_path / "trap.bin"
    torch.save({"image_proj": Trap()}, file)
    with pytest.raises(PackError, match="more than tensors"):
        assemble(made_of(ip_adapter=file), tmp_path / "pack", lambda _doing: None, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["trap.bin"]


@pytest.mark.parametrize(("stem", "tokens"), [("ip-adapter_sd15", 4), ("ip-adapter-plus_sd15", 16)])
def test_image_tokens_equal_diffusers(assembled, stem, tokens):
    """With a picture, and without: for Plus that is the tower's view of a black one."""
    pack = assembled(ip_adapter=f"{random.IP_ADAPTER}/{stem}.safetensors")
    assert Widths.of(pack).image_tokens == tokens
    noise = np.random.default_rng(1).integers(0, 256, (2, 40, 48, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one) for one in noise]
    pixel_values = pack.pipeline.feature_extractor(pictures, return_tensors="pt").pixel_values
    with torch.inference_mode():
        found = wrap("image_encoder", pack)(pixel_values)
        wanted = pack.pipeline.prepare_ip_adapter_image_embeds(
            ip_adapter_image=[pictures],
            ip_adapter_image_embeds=None,
            device="cpu",
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
        )[0]
        projected = pack.unet.encoder_hid_proj([wanted])[0]
    negative, positive = projected.flatten(0, 1).split(2)
    torch.testing.assert_close(found[0], positive)
    torch.testing.assert_close(found[1], negative)
    assert (positive - negative).abs().max() > 0.1


def test_the_unet_takes_the_sixteen_tokens_of_plus(assembled):
    """Its projection has attention too, which is not the UNet's."""
    pack = assembled(ip_adapter=f"{PLUS}.safetensors")
    inputs = example_inputs("unet", pack, Size(1, 16, 16), seed=1)
    assert inputs["image_embeds"].shape[1] == 16
    module = wrap("unet", pack)
    with torch.inference_mode():
        before = module(*inputs.values())
        inputs["image_embeds"][:, -1] += 1
        assert (module(*inputs.values()) - before).abs().max() > 1e-5


def test_a_fused_lora_changes_weights_as_its_matrices_say(assembled, checkpoints):
    plain, fused = state(assembled(), "unet"), state(assembled(lora=random.LORA), "unet")
    lora = load_file(checkpoints / random.LORA)
    keys = {name.split(".")[0] for name in lora}
    changed = {name for name in plain if not torch.equal(plain[name], fused[name])}
    assert len(changed) == len(keys) > 200
    for name in changed:
        key = "lora_unet_" + name.removesuffix(".weight").replace(".", "_")
        down, up, alpha = (
            lora[f"{key}.{part}"].float()
            for part in ("lora_down.weight", "lora_up.weight", "alpha")
        )
        product = up.flatten(1) @ down.flatten(1) * (alpha / down.shape[0])
        expected = plain[name] + product.reshape(plain[name].shape)
        torch.testing.assert_close(fused[name], expected, rtol=1e-4, atol=1e-5)


def with_text_half(checkpoints, file, spell):
    """The published LoRA and a half for the text encoder; gives the layer that it changes."""
    generator = torch.Generator().manual_seed(3)
    down, up = torch.randn(4, 64, generator=generator), torch.randn(64, 4, generator=generator)
    save_file(load_file(checkpoints / random.LORA) | spell(down, up), file)
    return "encoder.layers.1.self_attn.q_proj.weight", up @ down


def test_the_text_encoders_half_of_a_lora_is_fused_too(made_of, assembled, checkpoints, tmp_path):
    """With its own scale: diffusers' converter loses the alphas of these layers."""
    key = "lora_te_text_model_encoder_layers_1_self_attn_q_proj"
    name, product = with_text_half(
        checkpoints, tmp_path / "half.safetensors",
        lambda down, up: {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up,
                          f"{key}.alpha": torch.tensor(1.0)},
    )  # fmt: skip
    made = made_of(lora=tmp_path / "half.safetensors")
    pack = assemble(made, tmp_path / "pack", lambda _doing: None, SMALL)
    before, after = state(assembled(), "text_encoder"), state(pack, "text_encoder")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {name}
    torch.testing.assert_close(after[name], before[name] + product / 4, rtol=1e-4, atol=1e-5)
    assert_equal(state(pack, "unet"), state(assembled(lora=random.LORA), "unet"))


SPELLINGS = {
    "attention processors": ("{}.processor.{}_lora.down.weight", "{}.processor.{}_lora.up.weight"),
    "diffusers": ("unet.{}.{}.lora.down.weight", "unet.{}.{}.lora.up.weight"),
    "peft": ("unet.{}.{}.lora_A.weight", "unet.{}.{}.lora_B.weight"),
}
ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"


@pytest.mark.parametrize(
    ("layout", "metadata"),
    sample(
        product(SPELLINGS, [{}, {"unet.lora_alpha": 2}]),
        [("diffusers", {}), ("peft", {"unet.lora_alpha": 2})],
        several=True,
    ),
)
def test_every_spelling_of_a_lora_is_fused_with_its_scale(
    made_of, assembled, tmp_path, layout, metadata
):
    generator = torch.Generator().manual_seed(3)
    weights = {}
    for layer in ("to_q", "to_out"):
        spelt = (
            "to_out.0" if layer == "to_out" and "processor" not in SPELLINGS[layout][0] else layer
        )
        for name, shape in zip(SPELLINGS[layout], [(4, 16), (16, 4)], strict=True):
            weights[name.format(ATTENTION, spelt)] = torch.randn(shape, generator=generator)
    told = {"lora_adapter_metadata": json.dumps(metadata)} if metadata else None
    save_file(weights, tmp_path / "lora.safetensors", told)
    made = made_of(lora=tmp_path / "lora.safetensors")
    pack = assemble(made, tmp_path / "pack", lambda _doing: None, SMALL)
    before, after = state(assembled(), "unet"), state(pack, "unet")
    matrices = list(weights.values())
    for layer, down, up in (("to_q", *matrices[:2]), ("to_out.0", *matrices[2:])):
        name = f"{ATTENTION}.{layer}.weight"
        expected = before[name] + up @ down * (0.5 if metadata else 1)
        torch.testing.assert_close(after[name], expected, rtol=1e-4, atol=1e-5)
        del before[name], after[name]
    assert_equal(before, after)


def test_a_lora_with_the_names_of_single_files(made_of, assembled, tmp_path):
    down, up = torch.randn(4, 16), torch.randn(16, 4)
    key = "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_q"
    save_file(
        {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}, tmp_path / "x.safetensors"
    )
    pack = assemble(
        made_of(lora=tmp_path / "x.safetensors"), tmp_path / "pack", lambda _doing: None, SMALL
    )
    name = f"{ATTENTION}.to_q.weight"
    expected = state(assembled(), "unet")[name] + up @ down
    torch.testing.assert_close(state(pack, "unet")[name], expected, rtol=1e-4, atol=1e-5)


def test_a_pickled_lora_is_the_same_as_safetensors(made_of, assembled, checkpoints, tmp_path):
    torch.save(load_file(checkpoints / random.LORA), tmp_path / "lora.pt")
    pack = assemble(
        made_of(lora=tmp_path / "lora.pt"), tmp_path / "pack", lambda _doing: None, SMALL
    )
    assert_equal(state(pack, "unet"), state(assembled(lora=random.LORA), "unet"))
    assert not list(pack.folder.glob(".*"))


KEY = "lora_unet_mid_block_attentions_0_proj_in"


LEFT_OUT = [
    ({f"{KEY}.hada_w1_a": 4}, {}, rf"not fused here: {KEY}.hada_w1_a"),
    ({f"{KEY}.dora_scale": 4}, {}, rf"not fused here: {KEY}.dora_scale"),
    ({f"{KEY}.lora_mid.weight": 4}, {}, rf"not fused here: {KEY}.lora_mid.weight"),
    ({f"{KEY}.diff_b": 4, f"{KEY}.lokr_w1": 4}, {}, rf"{KEY}.diff_b, {KEY}.lokr_w1"),
    ({"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": 4}, {}, "lora_te2_text"),
    ({}, {"unet.use_dora": True}, "asks for unet.use_dora, which is not done here"),
    ({}, [1], "its lora_adapter_metadata is not what PEFT writes"),
    ({}, {"unet.lora_alpha": "two"}, "its lora_adapter_metadata is not what PEFT writes"),
]


@pytest.mark.parametrize(
    ("more", "metadata", "expected"),
    sample(LEFT_OUT, [LEFT_OUT[0], LEFT_OUT[5], LEFT_OUT[7]], several=True),
)
def test_a_lora_of_which_a_part_would_be_left_out(
    made_of, checkpoints, tmp_path, more, metadata, expected
):
    file = tmp_path / "lora.safetensors"
    added = {name: torch.zeros(size) for name, size in more.items()}
    told = {"lora_adapter_metadata": json.dumps(metadata)}
    save_file(load_file(checkpoints / random.LORA) | added, file, told)
    with pytest.raises(PackError, match=expected) as caught:
        assemble(made_of(lora=file), tmp_path / "pack", lambda _doing: None, SMALL)
    assert str(caught.value).startswith(str(file))
    assert "Take a LoRA for Stable Diffusion 1.5" in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "prefix"),
    sample(
        product(["safetensors", "pth"], ["", "control_model."]),
        [("pth", "control_model.")],
        several=True,
    ),
)
def test_a_controlnet_in_one_file_is_that_of_the_folder(
    made_of, assembled, checkpoints, tmp_path, prefix, kind
):
    """With the names of the file that was published, which diffusers' converter reads."""
    file = tmp_path / f"control_v11p_sd15_canny.{kind}"
    weights = load_file(checkpoints / random.CONTROLNET / "diffusion_pytorch_model.safetensors")
    named = {prefix + ldm.controlnet_name(name): tensor for name, tensor in weights.items()}
    (save_file if kind == "safetensors" else torch.save)(named, file)
    pack = assemble(made_of(controlnet=file), tmp_path / "pack", lambda _doing: None, SMALL)
    assert_equal(state(pack, "controlnet"), state(assembled(), "controlnet"))
    assert {path.name for path in (pack.folder / "controlnet").iterdir()} == {
        "config.json", "diffusion_pytorch_model.safetensors",
    }  # fmt: skip


def test_a_controlnets_one_file_with_todays_names(made_of, assembled, checkpoints, tmp_path):
    file = checkpoints / random.CONTROLNET / "diffusion_pytorch_model.safetensors"
    pack = assemble(made_of(controlnet=file), tmp_path / "pack", lambda _doing: None, SMALL)
    assert_equal(state(pack, "controlnet"), state(assembled(), "controlnet"))


@pytest.mark.parametrize("name", ["difference", "control_model.lora.weight"])
def test_a_controlnets_one_file_with_more_in_it(made_of, checkpoints, tmp_path, name):
    """What is added to the weights of a base, as some were published, is not a ControlNet."""
    file = tmp_path / "control.safetensors"
    weights = load_file(checkpoints / random.CONTROLNET / "diffusion_pytorch_model.safetensors")
    named = {f"control_model.{ldm.controlnet_name(key)}": t for key, t in weights.items()}
    save_file({**named, name: torch.zeros(1)}, file)
    with pytest.raises(PackError, match=rf"control.safetensors.* {name}") as caught:
        assemble(made_of(controlnet=file), tmp_path / "pack", lambda _doing: None, SMALL)
    assert "\n" not in str(caught.value)


def sharded(folder):
    """The weights of a diffusers or transformers folder, in two files and an index."""
    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    file.unlink()
    names = sorted(weights)
    shards = {
        f"{file.stem}-{number:05}-of-00002.safetensors": part
        for number, part in ((1, names[::2]), (2, names[1::2]))
    }
    for name, part in shards.items():
        save_file({key: weights[key] for key in part}, folder / name, {"format": "pt"})
    named = {key: name for name, part in shards.items() for key in part}
    index = folder / f"{file.name}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": named}))
    return index, *(folder / name for name in shards)


PARTS = {
    "unet": ("base", random.BASE, "unet"),
    "text_encoder": ("base", random.BASE, "text_encoder"),
    "controlnet": ("controlnet", random.CONTROLNET, ""),
    "image_encoder": ("image_encoder", f"{random.IP_ADAPTER}/image_encoder", ""),
}


@pytest.mark.parametrize("network", sample(PARTS, {"controlnet"}))
def test_shards_are_the_same_as_one_file(made_of, assembled, checkpoints, tmp_path, network):
    part, checkpoint, inside = PARTS[network]
    folder = shutil.copytree(checkpoints / checkpoint, tmp_path / "sharded")
    sharded(folder / inside)
    pack = assemble(made_of(**{part: folder}), tmp_path / "pack", lambda _doing: None, SMALL)
    assert_equal(state(pack, network), state(assembled(), network))


def test_a_lora_is_fused_into_shards(made_of, assembled, checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints / random.BASE, tmp_path / "sharded")
    sharded(folder / "unet")
    made = made_of(base=folder, lora=random.LORA)
    pack = assemble(made, tmp_path / "pack", lambda _doing: None, SMALL)
    assert_equal(state(pack, "unet"), state(assembled(lora=random.LORA), "unet"))


def test_shards_that_are_not_whole(made_of, checkpoints, tmp_path):
    folder = shutil.copytree(checkpoints / random.CONTROLNET, tmp_path / "sharded")
    index, _, second = sharded(folder)

    def refused():
        with pytest.raises(PackError) as caught:
            assemble(made_of(controlnet=folder), tmp_path / "pack", lambda _doing: None, SMALL)
        return str(caught.value)

    kept = json.loads(index.read_text())
    name = next(key for key, file in kept["weight_map"].items() if file == second.name)
    del kept["weight_map"][name]
    index.write_text(json.dumps(kept))
    assert f"{index.name} and the shards beside it disagree on {name}" in refused()
    second.unlink()
    assert "has 1 shards of diffusion_pytorch_model, of 2" in refused()


def test_fusing_leaves_the_users_own_file_alone(made_of, checkpoints, tmp_path):
    file = checkpoints / random.BASE / "unet" / "diffusion_pytorch_model.safetensors"
    before = file.read_bytes()
    assemble(made_of(lora=random.LORA), tmp_path / "pack", lambda _doing: None, SMALL)
    assert file.read_bytes() == before


def test_the_manifest_tells_what_the_pack_is_made_of(made_of, checkpoints, tmp_path):
    file = checkpoints / random.CONTROLNET / "config.json"
    pack = assemble(made_of(), tmp_path / "pack", lambda _doing: None, SMALL)
    sources = json.loads((pack.folder / "pack.json").read_text())["sources"]
    assert set(sources) == {"base", "controlnet", "ip_adapter", "image_encoder", "clip"}
    entry = sources["controlnet"]
    assert entry["licence"] == UNKNOWN_LICENCE
    assert entry["files"]["controlnet/config.json"]["bytes"] == file.stat().st_size
    assert len(entry["files"]["controlnet/config.json"]["sha256"]) == 64
    assert {"unet/config.json", "tokenizer/vocab.json"} <= set(sources["base"]["files"])


def test_a_pack_that_is_there_is_not_made_again(made_of, tmp_path, checkpoints):
    told = []
    pack = assemble(made_of(), tmp_path / "pack", told.append, SMALL)
    first = (pack.folder / "unet").stat().st_mtime_ns
    assemble(made_of(), tmp_path / "pack", told.append, SMALL)
    assert (pack.folder / "unet").stat().st_mtime_ns == first
    plus = made_of(ip_adapter=f"{PLUS}.safetensors")
    assert Widths.of(assemble(plus, tmp_path / "pack", told.append, SMALL)).image_tokens == 16


def test_a_controlnet_with_the_older_name_is_as_good(made_of, checkpoints, tmp_path):
    """sd-controlnet-canny's weights come as .bin or .safetensors, and as fp16 beside fp32."""
    folder = tmp_path / "sd-controlnet-canny"
    shutil.copytree(checkpoints / random.CONTROLNET, folder)
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    torch.save(weights, folder / "diffusion_pytorch_model.bin")
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    pack = assemble(made_of(controlnet=folder), tmp_path / "pack", lambda _doing: None, SMALL)
    assert_equal({name: t.float() for name, t in weights.items()}, state(pack, "controlnet"))


def test_clip_as_it_is_published(made_of, checkpoints, tmp_path):
    """A pickle, with constants that today's classes have no use for."""
    folder = tmp_path / "clip"
    shutil.copytree(checkpoints / random.CLIP, folder)
    weights = load_file(folder / "model.safetensors")
    assert "vision_model.embeddings.position_ids" in weights
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    pack = assemble(made_of(clip=folder), tmp_path / "pack", lambda _doing: None, SMALL)
    kept = {name: t.float() for name, t in weights.items() if not name.endswith("position_ids")}
    assert_equal(kept, state(pack, "clip"))


def test_a_base_without_a_feature_extractor_gets_clips(made_of, assembled, checkpoints, tmp_path):
    base = shutil.copytree(checkpoints / random.BASE, tmp_path / "base")
    shutil.rmtree(base / "feature_extractor")
    pack = assemble(made_of(base=base), tmp_path / "pack", lambda _doing: None, SMALL)
    assert pack.preprocessor_config() == assembled().preprocessor_config()


def test_a_tokenizer_that_does_not_tell_its_length_is_cut_all_the_same(assembled):
    """CLIP's own does not, and a single file has no other."""
    pack = assembled(base=random.SINGLE_FILE)
    lengths = [
        json.loads((pack.folder / part / "tokenizer_config.json").read_text()).get(
            "model_max_length"
        )
        for part in ("clip", "tokenizer")
    ]
    assert lengths == [None, 77]
    tokenizer = Tokenizer.from_str(pack.tokenizer_json())
    assert {len(tokenizer.encode(text).ids) for text in ("", "word " * 200)} == {77}


def test_a_base_without_a_vocabulary(made_of, checkpoints, tmp_path):
    base = shutil.copytree(checkpoints / random.BASE, tmp_path / "base")
    (base / "tokenizer" / "merges.txt").unlink()
    with pytest.raises(PackError, match=r"tokenizer/vocab.json is missing"):
        assemble(made_of(base=base), tmp_path / "pack", lambda _doing: None, SMALL)


def test_a_lora_for_something_else_is_refused(made_of, tmp_path):
    file = tmp_path / "text.safetensors"
    key = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    save_file(
        {
            f"{key}.alpha": torch.tensor(4.0),
            f"{key}.lora_down.weight": torch.zeros(4, 64),
            f"{key}.lora_up.weight": torch.zeros(256, 4),
        },
        file,
    )
    with pytest.raises(PackError, match=r"text.safetensors .*UNet"):
        assemble(made_of(lora=file), tmp_path / "pack", lambda _doing: None, SMALL)


def test_the_safety_checker_comes_along_when_asked(assembled, checkpoints):
    """As it was published, with the tower inside the tower; nothing of it is left out."""
    folder = assembled(safety_checker=True).folder / "safety_checker"
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    published = load_file(checkpoints / random.SAFETY_CHECKER / "model.safetensors")
    kept = {
        name.replace("vision_model.vision_model.", "vision_model."): tensor.float()
        for name, tensor in published.items()
        if not name.endswith("position_ids")
    }
    assert len(kept) == len(published) - 1
    assert_equal(kept, state(assembled(safety_checker=True), "safety_checker"))
    assert not (assembled().folder / "safety_checker").exists()


def test_a_base_without_a_safety_checker(made_of, checkpoints, tmp_path):
    base = shutil.copytree(checkpoints / random.BASE, tmp_path / "base")
    shutil.rmtree(base / "safety_checker")
    wanted = made_of(base=base, safety_checker=True)
    with pytest.raises(PackError, match="safety_checker/config.json is missing"):
        assemble(wanted, tmp_path / "pack", lambda _doing: None, SMALL)


class TestRandomCheckpoints:
    def test_full_size_names_and_shapes_are_the_published_ones(self):
        """Counts of the published files; every name was held against them once."""
        with torch.device("meta"):
            unet, vae, checker = SD15.unet(), SD15.vae(), SD15.safety_checker()
            controlnet = ControlNetModel.from_unet(
                unet, conditioning_embedding_out_channels=SD15.hint_channels
            )
        assert sum(weight.numel() for weight in unet.parameters()) == 859_520_964
        assert sum(weight.numel() for weight in vae.parameters()) == 83_653_863
        assert sum(weight.numel() for weight in controlnet.parameters()) == 361_279_120
        assert len(checker.state_dict()) == 396
        merged = ldm.single_file(unet.state_dict(), vae.state_dict(), {})
        assert len(merged) == 686 + 248
        assert merged["model.diffusion_model.input_blocks.0.0.weight"].shape == (320, 4, 3, 3)
        assert merged["model.diffusion_model.output_blocks.5.2.conv.weight"].shape[0] == 1280
        assert merged["first_stage_model.encoder.mid.attn_1.q.weight"].ndim == 4

    def test_a_seed_writes_the_same_weights(self, checkpoints, tmp_path):
        random.write_checkpoints(tmp_path, SMALL, seed=0, report=lambda _part: None)
        file = f"{random.IP_ADAPTER}/ip-adapter-plus_sd15.safetensors"
        assert_equal(load_file(checkpoints / file), load_file(tmp_path / file))


def test_no_architecture_is_guessed_for_a_file_of_another(made_of, checkpoints, tmp_path):
    """Small weights do not fit the configs of Stable Diffusion 1.5, which a single file gets."""
    with pytest.raises(PackError, match="not Stable Diffusion 1.5's"):
        assemble(made_of(base=random.SINGLE_FILE), tmp_path / "pack", lambda _doing: None, SD15)
    assert not list(tmp_path.iterdir())


def test_an_sdxl_file_is_called_that(made_of, tmp_path):
    file = tmp_path / "xl.safetensors"
    save_file({"conditioner.embedders.1.model.logit_scale": torch.ones(1)}, file)
    with pytest.raises(PackError, match=r"xl.safetensors is an SDXL checkpoint.*1\.5"):
        assemble(made_of(base=file), tmp_path / "pack", lambda _doing: None, SMALL)
    assert Source(file, "xl").revision is None
