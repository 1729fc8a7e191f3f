"""An ONNX file run on the CPU, several requests in one execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Arrays = Mapping[str, npt.NDArray[Any]]


class OnnxNetwork:
    """One engine in ONNX Runtime.

    Args:
        path: the ``.onnx`` file.
        threads: for one execution; 0 takes every core.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Idle threads would spin on the cores that the other models' processes need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, batch: Sequence[Arrays]) -> list[Arrays]:
        """Outputs for each request of `batch`; inputs are joined along their first dimension."""
        joined = batch[0]
        if len(batch) > 1:
            joined = {
                name: np.concatenate([request[name] for request in batch]) for name in batch[0]
            }
        values = self._session.run(self._outputs, dict(joined))
        outputs = dict(zip(self._outputs, values, strict=True))
        rows = [_rows(request) for request in batch]
        ends = np.cumsum(rows)
        return [
            {name: array[end - count : end] for name, array in outputs.items()}
            for count, end in zip(rows, ends, strict=True)
        ]


def _rows(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))
