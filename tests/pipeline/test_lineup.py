from __future__ import annotations

import json

import pytest

from pipeline import contract, lineup
from pipeline.errors import InvalidRequest
from pipeline.lineup import LineUp


def test_what_was_exported_goes_by_the_plain_names():
    exported = LineUp()
    assert exported.ensemble("denoiser") == "denoiser"
    assert exported.network("vae_decoder") == "vae_decoder"
    assert lineup.clip_ensemble("embed_text", 1) == "embed_text"


def test_line_ups_that_differ_have_names_that_differ():
    names = {
        LineUp(**{network: version}).ensemble("denoiser")
        for network in lineup.NETWORKS
        for version in (2, 3, 12)
    }
    assert len(names) == 3 * len(lineup.NETWORKS)
    assert LineUp(unet=3, controlnet=2).ensemble("condition") == "condition.controlnet2-unet3"


@pytest.mark.parametrize("line_up", [LineUp(), LineUp(unet=3), LineUp(text_encoder=2, unet=11)])
def test_every_name_leads_back_to_the_contract(line_up):
    for name in ("condition", "denoiser", "denoiser_lcm"):
        assert lineup.base(line_up.ensemble(name)) == name
    for name in lineup.NETWORKS:
        assert name in contract.MODELS
        called, version = lineup.name_and_version(line_up.network(name))
        assert (called, version) == (name, line_up.versions[name])
        assert lineup.base(line_up.network(name)) == name


def test_a_line_up_survives_its_way_to_triton():
    line_up = LineUp(unet=3, vae_decoder=2)
    assert lineup.from_json(line_up.to_json()) == line_up
    assert lineup.from_json("{}") == LineUp()


@pytest.mark.parametrize(
    "text",
    ["", "unet", "[3]", "3", json.dumps({"unet": 0}), json.dumps({"unet": "3"}),
     json.dumps({"unet": True}), json.dumps({"clip_text": 1}), json.dumps({"unet": 1.0})],
)  # fmt: skip
def test_what_is_no_line_up_is_refused_with_what_would_be_one(text):
    with pytest.raises(InvalidRequest, match="line_up is .* a version, 1 or more, of text_encoder"):
        lineup.from_json(text)
