from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.control import canny
from pipeline.fidelity import edge_f1
from pipeline.topology import SD15
from tests.conftest import ROOT
from training import networks
from training.draw import draw_sketch, draw_styled
from training.pack import CARD, random_networks, write_pack, write_random_pack
from training.scenes import make_scene
from training.styles import STYLES
from training.tokenizer import make_tokenizer


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_same_seed_writes_the_same_pack(tmp_path):
    folders = [tmp_path / place / "tiny" for place in ("first", "again", "other")]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        write_random_pack(folder, seed, report=lambda part: None)
    same, again, other = map(digests, folders)
    assert same == again
    weights = {name for name in same if name.endswith(".safetensors")}
    assert len(weights) == 8
    assert all(same[name] != other[name] for name in weights)


def test_training_again_keeps_the_model_card(tmp_path):
    folder = tmp_path / "tiny"
    tokenizer = make_tokenizer()
    made = random_networks(tokenizer)
    write_pack(folder, made, tokenizer, "trained")
    (folder / CARD).write_text("by people")
    (folder / "stray").touch()
    write_pack(folder, made, tokenizer, "trained")
    assert (folder / CARD).read_text() == "by people"
    assert not (folder / "stray").exists()


def test_bundled_pictures_are_what_the_script_draws():
    for index, style in enumerate(STYLES):
        file = ROOT / "examples" / "styles" / f"{style.name.replace(' ', '-')}.png"
        drawn = np.asarray(draw_styled(make_scene(20 + index), style, seed=index), int)
        assert np.abs(np.asarray(Image.open(file), int) - drawn).max() <= 2


@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.name)
def test_sketch_and_picture_show_the_same_building(style):
    wanted, same, other = (
        canny(picture, 256, 256, 50, 150)[0]
        for picture in (
            draw_sketch(make_scene(3)),
            draw_styled(make_scene(3), style, 0),
            draw_styled(make_scene(4), style, 0),
        )
    )
    assert edge_f1(wanted, same) > 0.9
    assert edge_f1(wanted, other) < 0.7


def test_the_topology_is_that_of_stable_diffusion_15():
    unet = networks.unet()
    assert len(unet.config.block_out_channels) == 4
    assert unet.config.layers_per_block == 2
    cross = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    assert len(cross) == len(SD15.cross_attention_layers)
    controlnet = networks.controlnet(unet)
    assert len(controlnet.controlnet_down_blocks) == len(SD15.residuals[:-1])
    assert isinstance(controlnet.controlnet_mid_block, torch.nn.Module)
