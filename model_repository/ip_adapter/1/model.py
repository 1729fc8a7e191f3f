"""The image tokens of k style references to one image prompt."""

from __future__ import annotations

from typing import Any

from pipeline import style, triton


class TritonPythonModel:
    """Triton's interface to ``style.blend``."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own."""
        return triton.answer_each("ip_adapter", requests, self.blend)

    @staticmethod
    def blend(inputs: triton.Arrays) -> dict[str, Any]:
        """``[k, n, d]`` twice and ``[k]`` weights to ``[2, n, d]``."""
        blended = style.blend(
            inputs["image_embeds"], inputs["negative_image_embeds"], inputs["style_weights"]
        )
        return {"ip_adapter_image_embeds": blended}
