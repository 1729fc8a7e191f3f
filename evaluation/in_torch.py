"""A pack in torch: ``pipeline.render`` runs over it unchanged, before anything is exported."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from evaluation.cases import Ask
from evaluation.engines import ClipEngines
from evaluation.in_process import Arrays, InProcess
from export.networks import NAMES, wrap
from export.pack import Pack
from pipeline import attempts, images
from pipeline.denoise import Tensors
from pipeline.images import Picture
from pipeline.painter import PackFacts
from pipeline.presets import resolved
from pipeline.render import render
from pipeline.request import RenderRequest
from pipeline.samplers import NoiseSchedule


class TorchPainter(ClipEngines):
    """A :class:`evaluation.painters.Painter` over a pack.

    Args:
        pack: ``in_few_steps`` for what `denoiser_lcm` serves.
        settings: fields of every render request, such as ``guidance_scale``.
    """

    def __init__(self, pack: Pack, device: str, settings: Mapping[str, Any]) -> None:
        super().__init__(TorchInfer(pack, device))
        self.settings = settings
        schedule = NoiseSchedule.from_config(pack.scheduler_config())
        self.facts = PackFacts(schedule, int(pack.facts()["native_size"]), topology=pack.topology)

    def paint(self, ask: Ask) -> bytes:
        request = RenderRequest(
            sketch=ask.sketch,
            prompt=ask.prompt,
            style_images=ask.style_images,
            seed=ask.seed,
            controlnet_conditioning_scale=ask.controlnet_conditioning_scale,
            ip_adapter_scale=(ask.ip_adapter_scale,),
            structure_min=ask.structure_min,
            **({"profile": ask.profile} if ask.profile else self.settings),
        )
        asked = resolved(request, few_steps=self.facts.few_steps)

        async def ignore(_step: int, _steps: int, _previews: tuple[bytes, ...]) -> None:
            pass

        async def paint(asked: RenderRequest) -> Arrays:
            rendered = await render(self.networks, asked, self.facts, ignore)
            names = ("images", "seeds", "structure_f1")
            return {name: np.array(getattr(rendered, name), object) for name in names}

        made = asyncio.run(attempts.make(paint, asked, lambda *_ended: None))
        return made.pictures[0].png

    def through_vae(self, picture: Picture) -> Picture:
        latents = self.networks.run("vae_encoder", pixels=images.to_pixels(picture)[None])
        return images.from_pixels(self.networks.run("vae_decoder", **latents)["pixels"][0])


class TorchInfer(InProcess):
    """The networks of a pack, in torch."""

    def __init__(self, pack: Pack, device: str = "cpu") -> None:
        super().__init__(pack.tokenizer_json(), pack.preprocessor_config(), pack.topology)
        self.device = device
        self.networks = {name: wrap(name, pack).to(device) for name in NAMES}

    def run(self, network: str, *residuals: torch.Tensor, **inputs: Any) -> Arrays:
        """One network of the contract over NumPy arrays."""
        wanted = self.models[network]
        names = [tensor.name for tensor in wanted.inputs if tensor.name in inputs]
        # Torch takes no arrays that only look repeated.
        arrays = [np.require(inputs[name], requirements=("C", "W")) for name in names]
        tensors = [torch.as_tensor(array, device=self.device) for array in arrays]
        with torch.inference_mode():
            outputs = self.networks[network](*tensors, *residuals)
        found = outputs if isinstance(outputs, tuple) else (outputs,)
        return {
            tensor.name: output.float().cpu().numpy()
            for tensor, output in zip(wanted.outputs, found, strict=True)
        }

    def denoise(self, inputs: Tensors) -> Arrays:
        residuals = self.run("controlnet", **inputs)
        tensors = [torch.as_tensor(row, device=self.device) for row in residuals.values()]
        return self.run("unet", *tensors, **inputs)
