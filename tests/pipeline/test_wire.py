from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest

from pipeline import contract, wire
from pipeline.errors import InvalidRequest
from pipeline.pinned_versions import PinnedVersions
from pipeline.provenance import ASKED
from pipeline.request import RenderRequest
from pipeline.tensor import NUMPY_DTYPES

FULL = RenderRequest(
    sketch=b"\x00\x01sketch\x00",
    prompt="maison à l'aube",
    negative_prompt="blurry",
    style_images=(b"one", b"two\x00"),
    style_weights=(0.25, 0.75),
    seed=2**32 - 1,
    num_inference_steps=4,
    guidance_scale=3.5,
    ip_adapter_scale=tuple(i / 16 for i in range(16)),
    scheduler="ddim",
    width=256,
    height=128,
    num_images=3,
    preview_interval=5,
    upscale=4,
    upscale_strength=0.5,
)


def test_a_request_survives_the_wire():
    pinned = PinnedVersions(unet=3, vae_decoder=2)
    assert wire.from_tensors(wire.to_tensors(FULL, pinned)) == (FULL, pinned)


def test_defaults_stay_defaults():
    # Of numbers that 32 bits hold.
    plain = RenderRequest(
        b"s", "p", style_images=(b"i",), ip_adapter_scale=(0.75,), upscale_strength=0.5
    )
    tensors = wire.to_tensors(plain)
    assert not {"seed", "width", "height", "style_weights"} & set(tensors)
    assert wire.from_tensors(tensors) == (plain, PinnedVersions())
    # Who calls Triton without a gateway need not know of versions.
    del tensors["pinned"]
    assert wire.from_tensors(tensors) == (plain, PinnedVersions())


def test_tensors_have_the_contracts_dtypes():
    for name, array in wire.to_tensors(FULL).items():
        dtype = contract.MODELS["render"].input(name).dtype
        assert array.dtype == NUMPY_DTYPES[dtype]
        assert array.ndim == 1


def test_every_field_but_the_librarys_travels():
    at_the_gateway = {"style", "styles", "style_count", "style_filter", "versions", *ASKED}
    travelling = {tensor.name for tensor in contract.MODELS["render"].inputs}
    assert (
        travelling - {"pinned"} == {field.name for field in fields(RenderRequest)} - at_the_gateway
    )


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("style_images", np.array([], object), r"style_images is \(\)"),
        ("prompt", np.array([b"\xff\xfe"], object), "prompt is 2 bytes; allowed: text in UTF-8"),
        ("seed", np.array([1, 2], np.int64), "seed is 2 values; allowed: one value"),
        ("num_inference_steps", np.array([0], np.int32), "num_inference_steps is 0"),
        ("guidance_scale", np.array([np.nan], np.float32), "guidance_scale is nan"),
        ("pinned", np.array([b'{"unet": 0}'], object), "pinned is .* a version, 1 or more"),
        ("pinned", np.array([b"{}", b"{}"], object), "pinned is 2 values"),
    ],
)
def test_bad_tensors_are_refused_by_name(name, array, words):
    with pytest.raises(InvalidRequest, match=words):
        wire.from_tensors({**wire.to_tensors(FULL), name: array})


def test_what_made_a_picture_is_named_by_its_engines():
    facts = {"pack": "tiny", "native_size": 256, "precision": "fp16", "engine": "tensorrt",
             "engines": {"unet": "0123456789abcdef"}, "topology": {"levels": 3},
             "few_steps": True}  # fmt: skip
    assert json.loads(wire.pack_identity(facts)) == {
        "name": "tiny", "precision": "fp16", "engine": "tensorrt",
        "engines": {"unet": "0123456789abcdef"}, "native_size": 256,
        "topology": {"levels": 3}, "few_steps": True,
    }  # fmt: skip


def test_an_export_that_named_no_engines_still_has_a_name():
    identity = json.loads(wire.pack_identity({"pack": "tiny", "native_size": 256}))
    assert identity == {
        "name": "tiny", "precision": "fp32", "engine": "onnx", "engines": {}, "native_size": 256,
        "topology": None, "few_steps": False,
    }  # fmt: skip
