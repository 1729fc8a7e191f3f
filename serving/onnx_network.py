"""An ONNX file run on the CPU, several requests in one execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Arrays = Mapping[str, npt.NDArray[Any]]

MAX_INPUT_BYTES = 16 * 2**20
"""Inputs of one execution. Sixteen rows of the tiny UNet at 256 pixels fit, and four at 512, whose
attention needs about 1.6 GB a row."""


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
        # Give memory back after each execution: a large render must not hold its peak for ever.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, batch: Sequence[Arrays]) -> list[Arrays]:
        """Outputs for each request of `batch`; inputs are joined along their first dimension."""
        joined = batch[0]
        if len(batch) > 1:
            joined = {
                name: np.concatenate([request[name] for request in batch]) for name in batch[0]
            }
        outputs = self._execute_in_parts(joined)
        rows = [_rows(request) for request in batch]
        ends = np.cumsum(rows)
        return [
            {name: array[end - count : end] for name, array in outputs.items()}
            for count, end in zip(rows, ends, strict=True)
        ]

    def _execute_in_parts(self, inputs: Arrays) -> Arrays:
        """One execution, or several where the rows are so large that memory would run out."""
        rows = _rows(inputs)
        size = sum(array.nbytes for array in inputs.values())
        part = max(1, rows * MAX_INPUT_BYTES // max(1, size))
        if part >= rows:
            return self._execute(inputs)
        parts = [
            self._execute({name: array[first : first + part] for name, array in inputs.items()})
            for first in range(0, rows, part)
        ]
        return {name: np.concatenate([done[name] for done in parts]) for name in self._outputs}

    def _execute(self, inputs: Arrays) -> Arrays:
        values = self._session.run(self._outputs, dict(inputs), self._run_options)
        return dict(zip(self._outputs, values, strict=True))


def _rows(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))
