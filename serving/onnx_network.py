"""An ONNX file run on the CPU, several requests in one execution."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

Arrays = Mapping[str, npt.NDArray[Any]]

LARGE_ENGINE = 256 * 1024 * 1024
"""Bytes of an engine whose weights are not loaded twice. Its operators are long, so that cores lose
little by sharing each of them."""


class OnnxNetwork:
    """One engine in ONNX Runtime.

    The operators of a small network are so short that cores which share each of them mostly wait
    for one another. So where a batch has a row for every core, each core computes its own rows
    alone; smaller batches share the operators.

    Args:
        path: the ``.onnx`` file.
        threads: for one execution; 0 takes every core.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._threads = threads or len(os.sched_getaffinity(0))
        self._sharing = _session(path, self._threads)
        self._outputs = [output.name for output in self._sharing.get_outputs()]
        self._alone = None
        if self._threads > 1 and _bytes_of(path) < LARGE_ENGINE:
            self._alone = _session(path, 1)
            self._cores = ThreadPoolExecutor(self._threads)

    def run(self, batch: Sequence[Arrays]) -> list[Arrays]:
        """Outputs for each request of `batch`; inputs are joined along their first dimension."""
        joined = batch[0]
        if len(batch) > 1:
            joined = {
                name: np.concatenate([request[name] for request in batch]) for name in batch[0]
            }
        outputs = self._run_rows(joined)
        rows = [_rows(request) for request in batch]
        ends = np.cumsum(rows)
        return [
            {name: array[end - count : end] for name, array in outputs.items()}
            for count, end in zip(rows, ends, strict=True)
        ]

    def _run_rows(self, inputs: Arrays) -> Arrays:
        rows = _rows(inputs)
        if self._alone is None or rows < self._threads:
            values = self._sharing.run(self._outputs, dict(inputs))
            return dict(zip(self._outputs, values, strict=True))
        shares = np.array_split(np.arange(rows), self._threads)
        parts = self._cores.map(
            self._alone.run,
            [self._outputs] * self._threads,
            [_slice(inputs, int(share[0]), int(share[-1]) + 1) for share in shares],
        )
        values = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        return dict(zip(self._outputs, values, strict=True))


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Idle threads would spin on the cores that the other models' processes need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _bytes_of(path: Path) -> int:
    """Of the engine, with the file of its weights where they lie beside it."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def _slice(inputs: Arrays, start: int, end: int) -> dict[str, npt.NDArray[Any]]:
    return {name: array[start:end] for name, array in inputs.items()}


def _rows(inputs: Arrays) -> int:
    return len(next(iter(inputs.values())))
