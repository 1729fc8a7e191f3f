"""What the number and size of tensors follow from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from pipeline import contract
from pipeline.errors import InvalidRequest
from pipeline.topology import SD15, STYLE_MODES, from_facts

SMALLER = replace(
    SD15,
    attention=(False, True, True),
    layers_per_block=1,
    latent_channels=8,
    vae_scale_factor=4,
    context_length=32,
    clip_dim=64,
)


def test_stable_diffusion_15_has_its_layers_and_residuals():
    assert len(SD15.cross_attention_layers) == 16
    assert SD15.cross_attention_layers[6] == "mid_block.attentions.0"
    assert SD15.residuals == (*(f"down_block_res_{i}" for i in range(12)), "mid_block_res")
    assert SD15.size_step == 64


def test_another_topology_has_others():
    assert SMALLER.cross_attention_layers == (
        "down_blocks.1.attentions.0",
        "down_blocks.2.attentions.0",
        "mid_block.attentions.0",
        "up_blocks.0.attentions.0",
        "up_blocks.0.attentions.1",
        "up_blocks.1.attentions.0",
        "up_blocks.1.attentions.1",
    )
    assert SMALLER.residuals == (*(f"down_block_res_{i}" for i in range(6)), "mid_block_res")
    assert SMALLER.size_step == 16


def test_the_contract_follows_it():
    models = contract.models(SMALLER)
    assert set(models) == set(contract.MODELS)
    assert models["unet"].input("ip_adapter_scale").dims == (7,)
    assert models["unet"].input("sample").dims == (8, -1, -1)
    assert models["tokenizer"].outputs[0].dims == (32,)
    assert models["embed_text"].outputs[0].dims == (64,)
    assert [tensor.name for tensor in models["controlnet"].outputs] == list(SMALLER.residuals)


@pytest.mark.parametrize("topology", [SD15, SMALLER])
def test_it_comes_back_from_json(topology):
    facts = {"pack": "x", "topology": asdict(topology)}
    assert from_facts(json.loads(json.dumps(facts))) == topology


@pytest.mark.parametrize("facts", [{}, {"topology": None}])
def test_older_exports_are_stable_diffusion_15(facts):
    assert from_facts(facts) == SD15


def test_one_strength_is_that_of_every_layer():
    assert SMALLER.layer_scales((0.5,)) == (0.5,) * 7
    each = tuple(index / 7 for index in range(7))
    assert SMALLER.layer_scales(each) == each


def test_a_mode_leaves_some_layers_their_strength():
    each = tuple(index / 16 for index in range(1, 17))
    shown = {
        mode: {SD15.cross_attention_layers[n] for n, scale in enumerate(scales) if scale}
        for mode in STYLE_MODES
        if (scales := SD15.layer_scales(each, mode))
    }
    assert shown["both"] == set(SD15.cross_attention_layers)
    deepest = {f"down_blocks.2.attentions.{n}" for n in range(2)}
    assert shown["composition"] == deepest
    assert shown["style"] == shown["both"] - deepest - {
        f"up_blocks.1.attentions.{n}" for n in range(3)
    }
    assert SD15.layer_scales((0.5,), "style") == (0.5,) * 4 + (0, 0, 0.5) + (0,) * 3 + (0.5,) * 6
    assert SD15.layer_scales((0.5,), "composition") == (0,) * 4 + (0.125, 0.5) + (0,) * 10


@pytest.mark.parametrize("count", [0, 2, 16])
def test_another_number_of_strengths_is_refused(count):
    with pytest.raises(InvalidRequest) as refused:
        SMALLER.layer_scales((0.5,) * count)
    assert str(refused.value) == (
        f"ip_adapter_scale is {count} values; allowed: 1 value, or 7 (one per cross-attention "
        "layer). Send one value for all layers."
    )
