"""A pack in torch: ``pipeline.render`` runs over it unchanged, before anything is exported."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from tokenizers import Tokenizer

from evaluation.cases import Ask
from export.networks import NAMES, wrap
from export.pack import Pack
from pipeline import contract, control, images, style
from pipeline.denoise import Tensors
from pipeline.images import Picture
from pipeline.render import render
from pipeline.request import RenderRequest
from pipeline.samplers import NoiseSchedule
from training.bundled import style_pictures
from training.styles import STYLES

Arrays = dict[str, npt.NDArray[Any]]


class TorchPainter:
    """A :class:`evaluation.painters.Painter` over a pack.

    Args:
        pack: ``in_few_steps`` for what `denoiser_lcm` serves.
        settings: fields of every render request, such as ``guidance_scale``.
    """

    def __init__(self, pack: Pack, device: str, settings: Mapping[str, Any]) -> None:
        self.infer = TorchInfer(pack, device)
        self.settings = settings
        self.schedule = NoiseSchedule.from_config(pack.scheduler_config())
        self.native_size = int(pack.facts()["native_size"])
        bundled = [images.encode_png(np.asarray(picture)) for picture in style_pictures()]
        self.library = np.concatenate([self._embed_picture(picture) for picture in bundled])

    def paint(self, ask: Ask) -> bytes:
        request = RenderRequest(
            sketch=ask.sketch,
            prompt=ask.prompt,
            style_images=(ask.style_image,),
            seed=ask.seed,
            controlnet_conditioning_scale=ask.controlnet_conditioning_scale,
            ip_adapter_scale=(ask.ip_adapter_scale,),
            **self.settings,
        )

        async def ignore(_step: int, _previews: tuple[bytes, ...]) -> None:
            pass

        rendered = asyncio.run(render(self.infer, request, self.schedule, self.native_size, ignore))
        return rendered.images[0]

    def through_vae(self, picture: Picture) -> Picture:
        latents = self.infer.run("vae_encoder", pixels=images.to_pixels(picture)[None])
        return images.from_pixels(self.infer.run("vae_decoder", **latents)["pixels"][0])

    def styles_for_text(self, phrase: str) -> list[str]:
        ids = self.infer.token_ids([phrase])
        return self._nearest(self.infer.run("clip_text", input_ids=ids)["text_embedding"])

    def styles_for_picture(self, picture: bytes) -> list[str]:
        return self._nearest(self._embed_picture(picture))

    def _embed_picture(self, picture: bytes) -> npt.NDArray[Any]:
        values = self.infer.picture(picture)[None]
        return self.infer.run("clip_image", pixel_values=values)["image_embedding"]

    def _nearest(self, vector: npt.NDArray[Any]) -> list[str]:
        return [STYLES[index].name for index in np.argsort(-(self.library @ vector[0]))]


class TorchInfer:
    """Runs ``condition``, ``denoiser`` and ``vae_decoder`` of the contract over a pack."""

    def __init__(self, pack: Pack, device: str = "cpu") -> None:
        self.device = device
        self.networks = {name: wrap(name, pack).to(device) for name in NAMES}
        self.tokenizer = Tokenizer.from_str(pack.tokenizer_json())
        self.preprocessing = images.ClipPreprocessing.from_config(pack.preprocessor_config())

    async def __call__(self, model: str, inputs: Tensors) -> Mapping[str, npt.NDArray[Any]]:
        """`model`'s outputs by name."""
        match model:
            case "condition":
                return self._condition(inputs)
            case "denoiser" | "denoiser_lcm":
                return self._denoise(inputs)
        return self.run(model, **inputs)

    def run(self, network: str, *residuals: torch.Tensor, **inputs: Any) -> Arrays:
        """One network of the contract over NumPy arrays."""
        wanted = contract.MODELS[network]
        names = [tensor.name for tensor in wanted.inputs if tensor.name in inputs]
        tensors = [torch.as_tensor(inputs[name], device=self.device) for name in names]
        with torch.inference_mode():
            outputs = self.networks[network](*tensors, *residuals)
        found = outputs if isinstance(outputs, tuple) else (outputs,)
        return {
            tensor.name: output.float().cpu().numpy()
            for tensor, output in zip(wanted.outputs, found, strict=True)
        }

    def token_ids(self, texts: list[str]) -> npt.NDArray[np.int64]:
        """``[len(texts), 77]``."""
        encoded = self.tokenizer.encode_batch(texts)
        return np.array([row.ids for row in encoded], np.int64)

    def picture(self, data: bytes) -> npt.NDArray[np.float32]:
        """An encoded picture as a vision tower's ``[3, size, size]``."""
        return images.clip_pixel_values(images.decode(data, "image"), self.preprocessing)

    def _condition(self, inputs: Tensors) -> Arrays:
        texts = [text.decode() for text in inputs["texts"].reshape(-1)]
        pictures = np.stack([self.picture(data) for data in inputs["style_images"].reshape(-1)])
        embeds = self.run("image_encoder", pixel_values=pictures)
        sketch: Image.Image = images.decode(inputs["sketch"][0], "sketch")
        sizes = ("width", "height", "canny_low_threshold", "canny_high_threshold")
        return {
            "control_image": control.canny(sketch, *(int(inputs[name][0]) for name in sizes)),
            "prompt_embeds": self.run("text_encoder", input_ids=self.token_ids(texts))[
                "prompt_embeds"
            ],
            # Only for a warning, and the phrases that are measured are short.
            "dropped_tokens": np.zeros((len(texts), 1), np.int32),
            "ip_adapter_image_embeds": style.blend(**embeds, weights=inputs["style_weights"]),
        }

    def _denoise(self, inputs: Tensors) -> Arrays:
        residuals = self.run("controlnet", **inputs)
        tensors = [torch.as_tensor(row, device=self.device) for row in residuals.values()]
        return self.run("unet", *tensors, **inputs)
