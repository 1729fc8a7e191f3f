"""As much of TensorRT 10.7's Python API as the exporter calls: it reads and builds nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PLAN = b"engine"
MEASURED = b" and measured"
"""What a build adds to the timings that it was given."""


class Logger:
    WARNING = 2

    def __init__(self, severity: int) -> None:
        self.severity = severity


class NetworkDefinitionCreationFlag:
    STRONGLY_TYPED = 1


class MemoryPoolType:
    WORKSPACE = "workspace"


@dataclass
class Definition:
    flags: int
    onnx: bytes = b""


@dataclass
class Profile:
    shapes: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def set_shape(self, name: str, *points: Any) -> None:
        self.shapes[name] = points


@dataclass
class Timings:
    content: bytes

    def serialize(self) -> bytes:
        return self.content


@dataclass
class Config:
    known: bool
    """Whether timings that were measured before are of this GPU."""
    memory: dict[str, int] = field(default_factory=dict)
    profiles: list[Profile] = field(default_factory=list)
    timings: Timings | None = None

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.memory[pool] = size

    def add_optimization_profile(self, profile: Profile) -> None:
        self.profiles.append(profile)

    def create_timing_cache(self, content: bytes) -> Timings:
        return Timings(content)

    def set_timing_cache(self, timings: Timings, ignore_mismatch: bool) -> bool:
        if timings.content and not (self.known or ignore_mismatch):
            return False
        self.timings = timings
        return True

    def get_timing_cache(self) -> Timings | None:
        return self.timings


@dataclass
class TensorRT:
    """In the place of the module.

    Args:
        parses, builds: whether it can.
        known: whether timings that lie there are of this GPU.
    """

    parses: bool = True
    builds: bool = True
    known: bool = True
    built: list[tuple[Definition, Config]] = field(default_factory=list)
    """What engines were made of."""

    __version__ = "10.7.0"
    Logger = Logger
    NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag
    MemoryPoolType = MemoryPoolType

    def Builder(self, _logger: Logger) -> Builder:  # noqa: N802 - TensorRT's name
        return Builder(self)

    def OnnxParser(self, definition: Definition, _logger: Logger) -> Parser:  # noqa: N802
        return Parser(self, definition)


@dataclass
class Builder:
    library: TensorRT

    def create_network(self, flags: int) -> Definition:
        return Definition(flags)

    def create_builder_config(self) -> Config:
        return Config(self.library.known)

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, definition: Definition, config: Config) -> bytes | None:
        if not self.library.builds:
            return None
        self.library.built.append((definition, config))
        if config.timings:
            config.timings.content += MEASURED
        return PLAN


@dataclass
class Parser:
    library: TensorRT
    definition: Definition
    num_errors = 0

    def parse_from_file(self, path: str) -> bool:
        if not self.library.parses:
            self.num_errors = 1
            return False
        self.definition.onnx = Path(path).read_bytes()
        return True

    def get_error(self, _index: int) -> str:
        return "no such operator"
