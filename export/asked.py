"""What the user of the exporter asked for. Needs no torch, so that ``--help`` works everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Engine = Literal["onnx", "onnx-tensorrt", "tensorrt"]
"""What executes the networks."""
Precision = Literal["fp32", "fp16"]
"""Inside the networks; their inputs and outputs are fp32 always."""
EXACT = ("safety_checker",)
"""Networks whose answer is on which side of a threshold they are, which fp16 would move."""


@dataclass(frozen=True)
class Build:
    """The kind of engines. `precision` is that of the inside; the edges stay fp32.

    ``onnx`` has ONNX Runtime's own operators in it, ``onnx-tensorrt`` only those that TensorRT
    reads, for ONNX Runtime's TensorRT provider; ``tensorrt`` is compiled.
    """

    engine: Engine = "onnx"
    precision: Precision = "fp32"

    def precision_of(self, network: str) -> Precision:
        """What `network` is built in: one whose answer is a comparison stays exact."""
        return "fp32" if network in EXACT else self.precision


@dataclass(frozen=True)
class Wanted:
    """What the user asked for, as paths or hub ids."""

    pack: str
    packs: Path
    """Folder where packs are made."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """By the names in ``DEFAULTS``, and ``lora``; what is absent has its default."""
    safety_checker: bool = False

    @property
    def changes(self) -> list[str]:
        """The options that only make sense where a pack is made."""
        named = [*self.parts, *(["safety_checker"] if self.safety_checker else [])]
        return [f"--{name.replace('_', '-')}" for name in named]


@dataclass(frozen=True)
class Target:
    """Where engines go."""

    repository: Path
    only: tuple[str, ...] = ()
    """Names of engines; all where it is empty."""
    candidates: Candidates | None = None
    """How they become candidates in `repository`; None exports into it."""


@dataclass(frozen=True)
class Candidates:
    """Engines that are published."""

    folder: Path
    """Where they are made, in a folder with the pack's name."""
    who: str
    why: str = ""
