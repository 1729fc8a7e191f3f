"""A tensor of a served model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Dtype = Literal["BOOL", "BYTES", "FP32", "INT32", "INT64", "UINT8"]
NUMPY_DTYPES: dict[Dtype, type[np.generic]] = {
    "BOOL": np.bool_,
    "BYTES": np.object_,
    "FP32": np.float32,
    "INT32": np.int32,
    "INT64": np.int64,
    "UINT8": np.uint8,
}


def shortest_decimal(number: float) -> float:
    """The shortest decimal that means `number` in the 32 bits that the models read.

    So 0.8 is 0.8, though gRPC carries it as 0.800000011920929 and JSON does not.
    """
    return float(str(np.float32(number)))


@dataclass(frozen=True)
class Tensor:
    """One input or output: its name, Triton dtype and dims without the batch."""

    name: str
    dtype: Dtype
    dims: tuple[int, ...]
    optional: bool = False
