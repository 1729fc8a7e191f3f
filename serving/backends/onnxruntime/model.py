"""Triton's Python-based backend named ``onnxruntime``.

It serves any model whose config says ``backend: "onnxruntime"`` on a machine that has only the
Python backend, and reads the options of Triton's native backend of that name. It is the more
lenient of the two: the native one wants every size that an engine fixes in the config, where this
one may find -1.
"""

from __future__ import annotations

import json
from typing import Any

from pipeline import triton
from serving.onnx_network import OnnxNetwork


class TritonPythonModel:
    """Triton's interface to ``OnnxNetwork``; the dynamic batcher decides what comes together."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's engine. Options are those of the native backend's config."""
        config = json.loads(args["model_config"])
        file = config.get("default_model_filename") or "model.onnx"
        threads = config.get("parameters", {}).get("intra_op_thread_count", {})
        self.network = OnnxNetwork(
            triton.version_folder(args) / file, int(threads.get("string_value", 0))
        )

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run the batch in one execution; if that fails, each request on its own."""
        try:
            batch = [triton.inputs_of(request) for request in requests]
            return [triton.tensors_response(outputs) for outputs in self.network.run(batch)]
        except Exception as error:
            if len(requests) == 1:
                return [triton.error_response(error)]
            return [response for request in requests for response in self.execute([request])]
