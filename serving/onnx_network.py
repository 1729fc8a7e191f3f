"""An ONNX file run on the CPU, several requests in one execution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from pipeline import contract

Arrays = Mapping[str, npt.NDArray[Any]]

LATENT_ROW_256 = (256 // contract.VAE_SCALE_FACTOR) ** 2
MAX_ATTENTION = 4 * (4 * LATENT_ROW_256) ** 2
"""Rows times squared latent positions in one execution: four rows at 512 pixels, whose unfused
attention needs about 1 GB each in the tiny UNet."""
KEPT_ATTENTION = contract.BATCH_LIMIT * LATENT_ROW_256**2
"""Up to a full batch at 256 pixels memory is kept for the next execution, since getting it anew
costs as much again as the execution; above, it is given back."""


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
        part = max(1, MAX_ATTENTION // _attention_of_a_row(inputs))
        if part >= rows:
            return self._execute(inputs)
        parts = [
            self._execute({name: array[first : first + part] for name, array in inputs.items()})
            for first in range(0, rows, part)
        ]
        return {name: np.concatenate([done[name] for done in parts]) for name in self._outputs}

    def _execute(self, inputs: Arrays) -> Arrays:
        options = onnxruntime.RunOptions()
        if _rows(inputs) * _attention_of_a_row(inputs) > KEPT_ATTENTION:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        values = self._session.run(self._outputs, dict(inputs), options)
        return dict(zip(self._outputs, values, strict=True))


def _rows(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))


def _attention_of_a_row(inputs: Arrays) -> int:
    """Size of the largest attention matrix of one row and head; 1 where it does not grow."""
    sample = inputs.get(contract.SAMPLE.name)
    return 1 if sample is None else int(sample.shape[-1] * sample.shape[-2]) ** 2
