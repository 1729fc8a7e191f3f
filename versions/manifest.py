"""What a version is: which files it has, what they were made of, and how they were checked."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from versions import durable, reading
from versions.described import Described
from versions.errors import Declined

FILE = "manifest.json"
ENGINE_FILES = {"onnx": "model.onnx", "onnx-tensorrt": "model.onnx", "tensorrt": "model.plan"}
"""The file that Triton loads, by the kind of engine. Weights may lie in files beside it."""
ENGINE_SUFFIXES = (".onnx", ".data", ".plan")
_ENGINE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{,254}(?:\.onnx|\.data|\.plan)")
DIGITS_SHOWN = 12
FINGERPRINT_SHOWN = 16
CHUNK = 1 << 20

Report = Callable[[str, int, int], None]
"""Told what is being worked on, how many bytes are done, and of how many."""


def silent(_doing: str, _done: int, _total: int) -> None:
    """A report for who does not want to know."""


@dataclass(frozen=True)
class Manifest(Described):
    """What the exporter says of one version of a network."""

    network: str
    pack: str
    revision: str
    """sha256 over the pack's files that the network was made of."""
    fingerprint: str
    """Changes with the weights, the kind of engine, the exporter or its libraries."""
    build: Mapping[str, str]
    """Its ``engine`` and ``precision``."""
    files: Mapping[str, str]
    """The sha256 of each file, by its name."""
    error: float
    """Largest difference from torch, relative to the largest value."""
    tolerance: float
    opset: int
    libraries: Mapping[str, str]
    """The exporter's version and those of its libraries."""
    created: str
    licence: str = ""
    """As the pack names it; empty where it does not."""
    few_steps: bool = False
    """Whether an LCM-LoRA is fused into it."""
    fused: Mapping[str, int] = field(default_factory=dict)
    """Operators that stand for several, by name."""
    hardware: Mapping[str, str] = field(default_factory=dict)
    """What it was checked on and, for TensorRT, what it is tied to."""

    @property
    def engine(self) -> str:
        """The name of the file that Triton loads."""
        return ENGINE_FILES[self.build["engine"]]

    @property
    def kind(self) -> str:
        """The kind of engine, for people."""
        return f"{self.build['engine']}, {self.build['precision']}"

    @property
    def mark(self) -> str:
        """The digits of its fingerprint that tell its engine from another."""
        return self.fingerprint[:FINGERPRINT_SHOWN]

    @property
    def sha256(self) -> str:
        """Tells this version's files from any others."""
        listed = "".join(f"{digest}  {name}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(listed.encode()).hexdigest()


def read(folder: Path) -> Manifest:
    """The manifest in `folder`.

    Raises:
        Declined: there is none, or it is not one.
    """
    path = folder / FILE
    try:
        manifest = reading.checked(Manifest(**reading.from_json(path.read_bytes())))
        _require_sense(manifest)
    except FileNotFoundError as error:
        raise Declined(
            f"{folder} has no {FILE}, so nobody knows what it is; take a folder that "
            "`maquette export` wrote, whole."
        ) from error
    except (OSError, TypeError, ValueError) as error:
        raise Declined(
            f"{path} is not a manifest ({error}); take the folder anew from the export that "
            "wrote it."
        ) from error
    return manifest


def write(folder: Path, manifest: Manifest) -> None:
    """Write `manifest` into `folder`, last of what is there."""
    durable.write_json(folder / FILE, asdict(manifest))


def verify(folder: Path, report: Report = silent) -> Manifest:
    """The manifest in `folder`, whose every word on files was checked.

    Raises:
        Declined: a file is missing, differs, or is not named; says which.
    """
    manifest = read(folder)
    require_names(folder, manifest)
    total = sum((folder / name).stat().st_size for name in manifest.files)
    done = 0
    for name, wanted in manifest.files.items():
        digest, done = _digest(folder / name, done, total, report)
        require_same(folder, name, wanted, digest)
    return manifest


def require_names(folder: Path, manifest: Manifest) -> None:
    """Check that `folder` has the files of `manifest`, and no engine that it does not name.

    Raises:
        Declined: it has not.
    """
    missing = [name for name in manifest.files if not _is_plain_file(folder / name)]
    if missing:
        raise Declined(
            f"{folder} has no file {', '.join(missing)}, which its manifest names; copy the "
            "whole folder."
        )
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix in ENGINE_SUFFIXES and path.name not in manifest.files
    )
    if others:
        raise Declined(
            f"{folder} has {', '.join(others)}, which its manifest does not name; take the "
            "folder anew from the export that wrote it."
        )


def require_same(folder: Path, name: str, wanted: str, found: str) -> None:
    """Check that a file is the one that the manifest names, by the sha256 of both.

    Raises:
        Declined: it is not.
    """
    if wanted != found:
        raise Declined(
            f"{folder / name} is not the file that its manifest names (sha256 "
            f"{found[:DIGITS_SHOWN]}…, not {wanted[:DIGITS_SHOWN]}…); copy the folder again, or "
            "export it again."
        )


def digests(folder: Path) -> dict[str, str]:
    """The sha256 of each file in `folder` that a manifest names."""
    names = sorted(path.name for path in folder.iterdir() if path.suffix in ENGINE_SUFFIXES)
    return {name: _digest(folder / name, 0, 0, silent)[0] for name in names}


def _digest(path: Path, done: int, total: int, report: Report) -> tuple[str, int]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            report(f"checking {path.name}", done, total)
    return digest.hexdigest(), done


def _require_sense(manifest: Manifest) -> None:
    """Check what the rest of this package takes for granted.

    Raises:
        ValueError: something is not as it must be.
    """
    if manifest.build.get("engine") not in ENGINE_FILES or "precision" not in manifest.build:
        raise ValueError(f"build is {manifest.build}")
    if manifest.engine not in manifest.files:
        raise ValueError(f"files does not name {manifest.engine}")
    for name in manifest.files:
        if not _ENGINE_NAME.fullmatch(name):
            raise ValueError(f"files names {name!r}")
    if not 0 <= manifest.error <= manifest.tolerance < math.inf:
        raise ValueError(f"error is {manifest.error}, above tolerance {manifest.tolerance}")


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
