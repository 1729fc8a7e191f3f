"""A pack as it is served: renders and text search through the gateway, the rest from Triton."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from tritonclient.grpc import InferenceServerClient, InferInput

from evaluation.cases import Ask
from evaluation.painters import nearest_styles
from maquette.client import Client
from pipeline import contract, images, pinned_versions
from pipeline.images import Picture
from training.bundled import style_pngs
from training.styles import STYLES
from versions.aliases import CLIP, Snapshot

NOT_MANAGED = Snapshot({})
"""The champions are what was exported."""


class ServedPainter:
    """A :class:`evaluation.painters.Painter` over a running stack.

    Args:
        settings: fields of every render request, such as ``scheduler``.
        champions: the versions that serve.

    Raises:
        ValueError: the library holds other styles than the bundled ones, so a search in it would
            tell nothing.
    """

    def __init__(
        self,
        gateway: Client,
        triton: InferenceServerClient,
        settings: Mapping[str, Any] = MappingProxyType({}),
        champions: Snapshot = NOT_MANAGED,
    ) -> None:
        self.gateway, self.triton, self.settings = gateway, triton, settings
        self.vae = str(champions.champion("vae_decoder"))
        self.clip = champions.champion(CLIP[0])
        found = sorted(style.name for style in gateway.styles())
        if found != sorted(style.name for style in STYLES):
            raise ValueError(f"the library must hold the bundled styles alone; it holds {found}")
        self.library = np.stack([*map(self.embed_picture, style_pngs())])

    def paint(self, ask: Ask) -> bytes:
        result = self.gateway.render(
            ask.sketch,
            ask.prompt,
            style_images=ask.style_images,
            seed=ask.seed,
            controlnet_conditioning_scale=ask.controlnet_conditioning_scale,
            ip_adapter_scale=ask.ip_adapter_scale,
            structure_min=ask.structure_min,
            **({"profile": ask.profile} if ask.profile else self.settings),
        )
        return result.images[0].png

    def through_vae(self, picture: Picture) -> Picture:
        latents = self._infer("vae_encoder", "pixels", images.to_pixels(picture)[None], "latents")
        pixels = self._infer("vae_decoder", "latents", latents, "pixels", version=self.vae)
        return images.from_pixels(pixels[0])

    def styles_for_text(self, phrase: str) -> list[str]:
        found = self.gateway.search(phrase, limit=len(STYLES))
        return [scored.style.name for scored in found]

    def styles_for_picture(self, picture: bytes) -> list[str]:
        return nearest_styles(self.library, self.embed_picture(picture))

    def embed_text(self, text: str) -> npt.NDArray[Any]:
        return self._embed("text", text.encode())

    def embed_picture(self, picture: bytes) -> npt.NDArray[Any]:
        return self._embed("image", picture)

    def _embed(self, what: str, content: bytes) -> npt.NDArray[Any]:
        model = pinned_versions.clip_ensemble(f"embed_{what}", self.clip)
        return self._infer(model, what, np.array([[content]], object), f"{what}_embedding")[0]

    def _infer(
        self, model: str, name: str, array: npt.NDArray[Any], output: str, version: str = ""
    ) -> npt.NDArray[Any]:
        declared = contract.MODELS[model.partition(".")[0]].input(name)
        tensor = InferInput(name, array.shape, declared.dtype)
        tensor.set_data_from_numpy(array)
        return np.asarray(self.triton.infer(model, [tensor], version).as_numpy(output))
