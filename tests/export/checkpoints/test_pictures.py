"""The picture of a pack that was made of published files, before anything of it is exported."""

from __future__ import annotations

import numpy as np

from evaluation.cases import Ask
from evaluation.in_torch import TorchPainter
from export.checkpoints import random
from tests.integration.reference import by_diffusers, picture, pixels


def test_one_file_plus_and_a_lora_make_the_picture_that_diffusers_makes(
    assembled, sketch, style_image
):
    pack = assembled(
        base=random.SINGLE_FILE,
        ip_adapter=f"{random.IP_ADAPTER}/ip-adapter-plus_sd15.bin",
        lora=random.LORA,
    )
    ask = Ask(sketch, "watercolour library with arched windows", (style_image,), seed=5)
    shared = {"negative_prompt": "neon, night", "width": 192, "height": 128, "guidance_scale": 7.5}
    settings = {**shared, "scheduler": "ddim", "num_inference_steps": 4}
    found = pixels(TorchPainter(pack, "cpu", settings).paint(ask))
    expected = by_diffusers(
        pack.pipeline, sketch, "ddim", 4,
        prompt=ask.prompt, seed=ask.seed, ip_adapter_image=picture(style_image), **shared,
    )  # fmt: skip
    assert found.shape == expected.shape
    assert expected.std() > 10, "a flat picture would prove nothing"
    assert np.abs(found - expected).max() <= 2
