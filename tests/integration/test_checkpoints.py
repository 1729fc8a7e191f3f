"""From published layouts to a served picture: one file, IP-Adapter Plus, a fused LoRA."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from export.asked import Build
from export.checkpoints import random
from export.engines import export_pack
from maquette.v1 import maquette_pb2 as pb
from tests.integration.reference import by_diffusers, picture, pixels
from tests.integration.stack import live_stack, stub_of
from tests.pictures import encoded

PROMPT, NEGATIVE = "watercolour library with arched windows", "neon, night"


@pytest.fixture(scope="module")
def pack(assembled):
    return assembled(
        base=random.SINGLE_FILE,
        ip_adapter=f"{random.IP_ADAPTER}/ip-adapter-plus_sd15.bin",
        lora=random.LORA,
    )


@pytest.fixture(scope="module")
def stub(pack, tmp_path_factory):
    """A stack of its own, over a repository of its own."""
    folder = tmp_path_factory.mktemp("small")
    outcomes = list(export_pack(pack, folder / "repository", Build(), report=lambda _doing: None))
    assert all(outcome.parity.passed for outcome in outcomes)
    options = ("--repository", str(folder / "repository"), "--no-bundled-styles")
    with live_stack(folder / "state", *options) as stack, stack.channel() as channel:
        yield stub_of(channel)


@pytest.mark.parametrize(
    ("scheduler", "options"),
    [
        ("ddim", {"guidance_scale": 7.5}),
        ("lcm", {"guidance_scale": 1.5}),
        ("lcm", {"guidance_scale": 1.0}),
    ],
)
def test_the_served_picture_equals_diffusers(stub, pack, sketch, style_image, scheduler, options):
    shared = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": 5, "width": 192,
              "height": 128, **options}  # fmt: skip
    expected = by_diffusers(
        pack.pipeline, sketch, scheduler, 4, ip_adapter_image=picture(style_image), **shared
    )
    answer = stub.Render(
        pb.RenderRequest(
            sketch=sketch, style_images=[style_image], num_inference_steps=4, scheduler=scheduler,
            **shared,
        )
    )  # fmt: skip
    found = pixels(answer.images[0].png)
    assert found.shape == expected.shape
    assert expected.std() > 10, "a flat picture would prove nothing"
    assert np.abs(found - expected).max() <= 2


def test_all_sixteen_tokens_are_served(stub, pack, sketch, style_image):
    """The picture of the style counts, through the tokens of Plus."""
    pictures = []
    for style in (style_image, encoded(Image.new("RGB", (64, 64), (200, 30, 30)))):
        answer = stub.Render(
            pb.RenderRequest(
                sketch=sketch, prompt=PROMPT, style_images=[style], num_inference_steps=2, seed=1
            )
        )
        pictures.append(pixels(answer.images[0].png))
    assert np.abs(pictures[0] - pictures[1]).max() > 2
