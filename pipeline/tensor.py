"""A tensor of a served model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["BYTES", "FP32", "INT32", "INT64", "UINT8"]


@dataclass(frozen=True)
class Tensor:
    """One input or output: its name, Triton dtype and dims without the batch."""

    name: str
    dtype: Dtype
    dims: tuple[int, ...]
    optional: bool = False
