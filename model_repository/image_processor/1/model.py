"""An encoded picture to a CLIP vision tower's pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline import images, triton


class TritonPythonModel:
    """Triton's interface to ``images.clip_pixel_values``."""

    def initialize(self, args: dict[str, str]) -> None:
        """Read the sizes and the mean and deviation from the pack's preprocessor config."""
        config = triton.read_json(args, "preprocessor_config.json")
        self.preprocessing = images.ClipPreprocessing.from_config(config)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own."""
        return triton.answer_each("image_processor", requests, self.process)

    def process(self, inputs: triton.Arrays) -> dict[str, Any]:
        """``image [rows, 1]`` to ``pixel_values [rows, 3, crop, crop]``."""
        decoded = [images.decode(data, "image") for data in inputs["image"].reshape(-1)]
        rows = [images.clip_pixel_values(image, self.preprocessing) for image in decoded]
        return {"pixel_values": np.stack(rows)}
