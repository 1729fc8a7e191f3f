"""Engines in the model repository: what is up to date, and how a new one takes its place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from export.networks import NAMES, wrap
from export.onnx import OPSET, Parity, check_parity, export_network
from export.pack import Pack

VERSION = "1"
ENGINE_FILE = "model.onnx"
RECORD_FILE = "engine.json"
FINISHED = f"render/{VERSION}/pack.json"
"""Away while engines are being replaced, so that a half-exported pack is never served."""


@dataclass(frozen=True)
class Record:
    """What an engine was made of. Written last, so that its presence means the engine is whole."""

    network: str
    pack: str
    fingerprint: str
    error: float
    tolerance: float
    opset: int
    torch: str
    created: str


@dataclass(frozen=True)
class Outcome:
    """What happened to one network in a run of the exporter."""

    network: str
    parity: Parity
    megabytes: float
    built: bool


def export_pack(
    pack: Pack, repository: Path, *, force: bool = False, report: Callable[[str], None]
) -> Iterator[Outcome]:
    """Bring every engine in `repository` up to date with `pack`, one network at a time.

    An engine that fails its parity check is not installed; its outcome says so.

    Args:
        force: rebuild engines that are up to date.
        report: told the network that is being worked on.
    """
    side_files = _side_files(pack)
    marker = repository / FINISHED
    passed = True
    for network in NAMES:
        report(network)
        outcome = _bring_up_to_date(network, pack, repository / network / VERSION, force, marker)
        passed &= outcome.parity.passed
        yield outcome
    if passed:
        for name, text in side_files.items():
            write_aside(repository / name, text)


def _bring_up_to_date(network: str, pack: Pack, folder: Path, force: bool, marker: Path) -> Outcome:
    fingerprint = _fingerprint(network, pack)
    record = _read_record(folder)
    if record and record.fingerprint == fingerprint and not force:
        return Outcome(network, Parity(record.error, record.tolerance), _size(folder), built=False)
    marker.unlink(missing_ok=True)
    return _build(network, pack, folder, fingerprint)


def _build(network: str, pack: Pack, folder: Path, fingerprint: str) -> Outcome:
    folder.mkdir(parents=True, exist_ok=True)
    # A name that Triton does not look at, so that a half-written engine is never served.
    aside = folder / f".{ENGINE_FILE}.partial"
    module = wrap(network, pack)
    export_network(network, module, pack, aside)
    parity = check_parity(network, module, pack, aside)
    megabytes = aside.stat().st_size / 1e6
    if parity.passed:
        (folder / RECORD_FILE).unlink(missing_ok=True)
        aside.replace(folder / ENGINE_FILE)
        _write_record(folder, network, pack, fingerprint, parity)
    else:
        aside.unlink()
    return Outcome(network, parity, megabytes, built=True)


def _fingerprint(network: str, pack: Pack) -> str:
    """Changes when the weights, the exporter or its libraries change."""
    digest = hashlib.sha256(pack.digest(network).encode())
    for package in ("torch", "diffusers", "transformers", "onnxscript"):
        digest.update(f"{package}=={version(package)}\n".encode())
    contract_source = Path(__file__).parent.parent / "pipeline" / "contract.py"
    for source in (*sorted(Path(__file__).parent.glob("*.py")), contract_source):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def _read_record(folder: Path) -> Record | None:
    path = folder / RECORD_FILE
    if not path.exists() or not (folder / ENGINE_FILE).exists():
        return None
    try:
        return Record(**json.loads(path.read_text(encoding="utf-8")))
    except (TypeError, ValueError):
        return None


def _write_record(folder: Path, network: str, pack: Pack, fingerprint: str, parity: Parity) -> None:
    record = Record(
        network=network,
        pack=pack.folder.name,
        fingerprint=fingerprint,
        error=parity.error,
        tolerance=parity.tolerance,
        opset=OPSET,
        torch=torch.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_aside(folder / RECORD_FILE, json.dumps(asdict(record), indent=2) + "\n")


def _side_files(pack: Pack) -> dict[str, str]:
    """The small files that Python models read from their version folder; the marker comes last."""
    return {
        f"tokenizer/{VERSION}/tokenizer.json": pack.tokenizer_json(),
        f"image_processor/{VERSION}/preprocessor_config.json": _json(pack.preprocessor_config()),
        f"render/{VERSION}/scheduler_config.json": _json(pack.scheduler_config()),
        FINISHED: _json(pack.facts()),
    }


def write_aside(path: Path, text: str) -> None:
    """Write `text` to `path` at once: a reader sees the old file or the new one, never a part."""
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _size(folder: Path) -> float:
    return (folder / ENGINE_FILE).stat().st_size / 1e6
