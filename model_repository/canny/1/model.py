"""An encoded sketch to ControlNet's edge picture."""

from __future__ import annotations

from typing import Any

from pipeline import control, images, triton


class TritonPythonModel:
    """Triton's interface to ``control.canny``."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own."""
        return triton.answer_each("canny", requests, self.trace)

    @staticmethod
    def trace(inputs: triton.Arrays) -> dict[str, Any]:
        """``sketch [1]`` to ``control_image [1, height, width]``."""
        sketch = images.decode(inputs["sketch"][0], "sketch")
        edges = control.canny(
            sketch,
            width=int(inputs["width"][0]),
            height=int(inputs["height"][0]),
            low_threshold=int(inputs["canny_low_threshold"][0]),
            high_threshold=int(inputs["canny_high_threshold"][0]),
        )
        return {"control_image": edges}
