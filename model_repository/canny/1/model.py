"""An encoded sketch to ControlNet's edge picture."""

from __future__ import annotations

from typing import Any

from pipeline import control, triton


class TritonPythonModel:
    """Triton's interface to ``control.trace``."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request on its own."""
        return triton.answer_each("canny", requests, self.trace)

    @staticmethod
    def trace(inputs: triton.Arrays) -> dict[str, Any]:
        """``sketch [1]`` to ``control_image [1, height, width]``."""
        return {"control_image": control.of_tensors(inputs)}
