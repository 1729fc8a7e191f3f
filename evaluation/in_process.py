"""The contract's ``condition`` and ``denoiser`` over networks that run in this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from pipeline import contract, control, images, style
from pipeline.chunks import PromptTokenizer
from pipeline.denoise import Tensors
from pipeline.topology import Topology

Arrays = dict[str, npt.NDArray[Any]]


class InProcess(ABC):
    """Runs ``condition``, the denoisers and single networks.

    Args:
        tokenizer_json: the pack's ``tokenizer.json``.
        preprocessor_config: the pack's ``preprocessor_config.json``.
        topology: of the pack.
    """

    def __init__(
        self, tokenizer_json: str, preprocessor_config: Mapping[str, Any], topology: Topology
    ) -> None:
        self.topology = topology
        self.models = contract.models(topology)
        self.tokenizer = Tokenizer.from_str(tokenizer_json)
        self.prompts = PromptTokenizer(self.tokenizer)
        self.preprocessing = images.ClipPreprocessing.from_config(preprocessor_config)

    async def __call__(self, model: str, inputs: Tensors) -> Mapping[str, npt.NDArray[Any]]:
        """`model`'s outputs by name."""
        match model:
            case "condition":
                return self.condition(inputs)
            case "denoiser" | "denoiser_lcm":
                return self.denoise(inputs)
            case "canny":
                return {"control_image": control.of_tensors(inputs)}
        return self.run(model, **inputs)

    @abstractmethod
    def run(self, network: str, **inputs: Any) -> Arrays:
        """One network of the contract; it takes of `inputs` what it needs."""

    @abstractmethod
    def denoise(self, inputs: Tensors) -> Arrays:
        """ControlNet and UNet."""

    def condition(self, inputs: Tensors) -> Arrays:
        """Everything that is fixed for one render."""
        texts = [text.decode() for text in inputs["texts"].reshape(-1)]
        prompts = self.prompts.split(texts, inputs["prompt_syntax"][0].decode())
        pictures = np.stack([self.picture(data) for data in inputs["style_images"].reshape(-1)])
        embeds = self.run("image_encoder", pixel_values=pictures)
        return {
            "control_image": control.of_tensors(inputs),
            **self.run("text_encoder", input_ids=prompts.input_ids),
            "token_weights": prompts.token_weights,
            "dropped_tokens": prompts.dropped_tokens,
            "ip_adapter_image_embeds": style.blend(**embeds, weights=inputs["style_weights"]),
        }

    def token_ids(self, texts: list[str]) -> npt.NDArray[np.int64]:
        """``[len(texts), 77]``."""
        encoded = self.tokenizer.encode_batch(texts)
        return np.array([row.ids for row in encoded], np.int64)

    def picture(self, data: bytes) -> npt.NDArray[np.float32]:
        """An encoded picture as a vision tower's ``[3, size, size]``."""
        return images.clip_pixel_values(images.decode(data, "image"), self.preprocessing)
