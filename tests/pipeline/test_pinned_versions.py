from __future__ import annotations

import json

import pytest

from pipeline import contract, pinned_versions
from pipeline.errors import InvalidRequest
from pipeline.pinned_versions import PinnedVersions


def test_what_was_exported_goes_by_the_plain_names():
    exported = PinnedVersions()
    assert exported.ensemble("denoiser") == "denoiser"
    assert exported.network("vae_decoder") == "vae_decoder"
    assert pinned_versions.clip_ensemble("embed_text", 1) == "embed_text"


def test_sets_that_differ_have_names_that_differ():
    names = {
        PinnedVersions(**{network: version}).ensemble("denoiser")
        for network in pinned_versions.NETWORKS
        for version in (2, 3, 12)
    }
    assert len(names) == 3 * len(pinned_versions.NETWORKS)
    assert (
        PinnedVersions(unet=3, controlnet=2).ensemble("condition") == "condition.controlnet2-unet3"
    )


@pytest.mark.parametrize(
    "pinned", [PinnedVersions(), PinnedVersions(unet=3), PinnedVersions(text_encoder=2, unet=11)]
)
def test_every_name_leads_back_to_the_contract(pinned):
    for name in ("condition", "denoiser", "denoiser_lcm"):
        assert pinned_versions.base(pinned.ensemble(name)) == name
    for name in pinned_versions.NETWORKS:
        assert name in contract.MODELS
        called, version = pinned_versions.name_and_version(pinned.network(name))
        assert (called, version) == (name, pinned.versions[name])
        assert pinned_versions.base(pinned.network(name)) == name


def test_a_line_up_survives_its_way_to_triton():
    pinned = PinnedVersions(unet=3, vae_decoder=2)
    assert pinned_versions.from_json(pinned.to_json()) == pinned
    assert pinned_versions.from_json("{}") == PinnedVersions()


@pytest.mark.parametrize(
    "text",
    ["", "unet", "[3]", "3", json.dumps({"unet": 0}), json.dumps({"unet": "3"}),
     json.dumps({"unet": True}), json.dumps({"clip_text": 1}), json.dumps({"unet": 1.0})],
)  # fmt: skip
def test_what_is_no_line_up_is_refused_with_what_would_be_one(text):
    with pytest.raises(InvalidRequest, match="pinned is .* a version, 1 or more, of text_encoder"):
        pinned_versions.from_json(text)
