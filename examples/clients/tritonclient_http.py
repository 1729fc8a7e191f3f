"""Render with NVIDIA's own client, over HTTP: ``tritonclient_http.py [OUT.png]``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput

SERVER = os.environ.get("MAQUETTE_HTTP", "127.0.0.1:8034")
KEY = os.environ.get("MAQUETTE_API_KEY")
SKETCH = Path(__file__).parent.parent / "sketches" / "town-house.png"


def tensor(name: str, dtype: str, value: object) -> InferInput:
    """An input of one element."""
    array = np.array([value], object if dtype == "BYTES" else np.int32)
    made = InferInput(name, array.shape, dtype)
    made.set_data_from_numpy(array)
    return made


def main() -> None:
    """Render the bundled sketch."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "render.png")
    inputs = [
        tensor("sketch", "BYTES", SKETCH.read_bytes()),
        tensor("prompt", "BYTES", b"futuristic neon city at night"),
        tensor("num_inference_steps", "INT32", 8),
    ]
    headers = {"Authorization": f"Bearer {KEY}"} if KEY else None
    with InferenceServerClient(SERVER) as client:
        answer = client.infer("sketch_to_render", inputs, headers=headers)
    out.write_bytes(answer.as_numpy("image")[0])
    style, seed = answer.as_numpy("style")[0].decode(), answer.as_numpy("seed")[0]
    print(f"{out} in the style {style}, seed {seed}")  # noqa: T201


if __name__ == "__main__":
    main()
