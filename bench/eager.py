"""diffusers' own pipeline over the same pack, eager, in a process of its own."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.children import Answer
from pipeline.request import DEFAULTS

SHARED = ("negative_prompt", "guidance_scale", "controlnet_conditioning_scale")
"""Fields that diffusers takes by the same names."""


def prepare(pack: Path, cores: int) -> Answer:
    """Load the pipeline; what answers renders with it.

    The answer is the seconds from pictures to picture, and the picture ``[h, w, 3]`` in bytes.
    """
    from export.quiet import quiet_libraries

    quiet_libraries()
    import torch
    from diffusers import DDIMScheduler
    from PIL import Image

    from export.pack import Pack
    from pipeline.denoise import Noise

    torch.set_num_threads(cores)
    pipeline: Any = Pack(pack).pipeline
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_ip_adapter_scale(DEFAULTS["ip_adapter_scale"][0])

    def answer(
        prompt: str, edges: bytes, style: bytes, seed: int, steps: int
    ) -> tuple[float, npt.NDArray[np.uint8]]:
        control, reference = (Image.open(io.BytesIO(png)).convert("RGB") for png in (edges, style))
        latents = torch.from_numpy(Noise([seed], control.height, control.width)())
        began = time.perf_counter()
        with torch.inference_mode():
            done = pipeline(
                prompt,
                image=control,
                ip_adapter_image=reference,
                latents=latents,
                width=control.width,
                height=control.height,
                num_inference_steps=steps,
                **{name: DEFAULTS[name] for name in SHARED},
            )
        return time.perf_counter() - began, np.asarray(done.images[0])

    return answer
