"""Engines in the model repository: what is up to date, and how a new one takes its place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from export import latent_rgb, tensorrt
from export.asked import Build
from export.build import ENGINE_FILES, build_network
from export.configs import KINDS, configs_of
from export.files import PackError, elements, require_room
from export.networks import NAMES, OPTIONAL, names_of
from export.onnx import OPSET, Parity
from export.pack import NETWORK_FOLDERS, Pack
from pipeline.preview import LatentRgb

VERSION = "1"
RECORD_FILE = "engine.json"
FINISHED = f"render/{VERSION}/pack.json"
"""Away while engines are being replaced, so that a half-exported pack is never served."""
LATENT_RGB = f"render/{VERSION}/latent_rgb.json"
FINGERPRINT_SHOWN = 16
"""Digits of a fingerprint that tell one engine from another."""
BYTES_OF_A_WEIGHT = 4
STATIC = Path(__file__).parent.parent / "model_repository"
"""The repository that is written by hand; one elsewhere gets a copy of it."""


@dataclass(frozen=True)
class Record:
    """What an engine was made of. Its folder takes its place when all of it is written."""

    network: str
    pack: str
    fingerprint: str
    build: dict[str, str]
    error: float
    tolerance: float
    opset: int
    torch: str
    created: str
    fused: dict[str, int] = field(default_factory=dict)
    """Operators that stand for several, by name."""
    hardware: dict[str, str] = field(default_factory=dict)
    """What a TensorRT engine is tied to."""


@dataclass(frozen=True)
class Outcome:
    """What happened to one network in a run of the exporter."""

    network: str
    parity: Parity
    megabytes: float
    fused: dict[str, int]
    built: bool


def export_pack(
    pack: Pack,
    repository: Path,
    build: Build,
    *,
    force: bool = False,
    report: Callable[[str], None],
) -> Iterator[Outcome]:
    """Bring every engine in `repository` up to date with `pack`, one network at a time.

    An engine that fails its parity check is not installed; its outcome says so. An interrupted
    export goes on where it was: what is finished is kept.

    Args:
        build: which kind of engine.
        force: rebuild engines that are up to date.
        report: told what is being worked on.

    Raises:
        PackError: the pack cannot be exported; says why and how to mend it.
    """
    report("checking the pack")
    pack.check()
    prepare(repository)
    _remove_others(pack, repository)
    passed = True
    for network in names_of(pack):
        report(network)
        outcome = _bring_up_to_date(network, pack, repository, build, force)
        passed &= outcome.parity.passed
        yield outcome
        pack.release()
    if passed:
        side_files = _side_files(pack, repository, build)
        _write_texts(repository, configs_of(pack, repository, build) | side_files)
        pack.release()


def _write_texts(repository: Path, texts: Mapping[str, str]) -> None:
    """Bring small files up to date; the marker, last of them, is away while others change."""
    paths = {repository / name: text for name, text in texts.items()}
    known = {
        path
        for name in (*NAMES, *OPTIONAL)
        for path in (repository / name / "configs").glob("*.pbtxt")
    }
    if known <= set(paths) and all(
        path.exists() and path.read_text(encoding="utf-8") == text for path, text in paths.items()
    ):
        return
    (repository / FINISHED).unlink(missing_ok=True)
    for path in known:
        path.unlink()
    for path, text in paths.items():
        path.parent.mkdir(exist_ok=True)
        write_aside(path, text)


def prepare(repository: Path) -> None:
    """Give a repository of the user's own the files that are written by hand.

    Raises:
        PackError: there are none to give.
    """
    if repository.resolve() == STATIC.resolve():
        return
    if STATIC.is_dir():
        engines = shutil.ignore_patterns(
            "*.onnx", "*.data", "*.plan", "*.json", "__pycache__", "configs", ".*"
        )
        shutil.copytree(STATIC, repository, dirs_exist_ok=True, ignore=engines)
    missing = [
        name for name in (*NAMES, *OPTIONAL) if not (repository / name / "config.pbtxt").exists()
    ]
    if missing:
        raise PackError(
            f"{repository} has no {missing[0]}/config.pbtxt. "
            "Copy maquette's model_repository there."
        )


def _remove_others(pack: Pack, repository: Path) -> None:
    """Take away the engines of another pack for networks that `pack` has not."""
    for network in set(OPTIONAL) - set(names_of(pack)):
        folder = repository / network / VERSION
        if folder.exists():
            (repository / FINISHED).unlink(missing_ok=True)
            shutil.rmtree(folder)


def _bring_up_to_date(
    network: str, pack: Pack, repository: Path, build: Build, force: bool
) -> Outcome:
    folder = repository / network / VERSION
    fingerprint = _fingerprint(network, pack, build)
    record = read_record(folder)
    if record and record.fingerprint == fingerprint and not force:
        parity = Parity(record.error, record.tolerance)
        return Outcome(network, parity, _megabytes(folder), record.fused, built=False)
    (repository / FINISHED).unlink(missing_ok=True)
    return _build(network, pack, folder, build, fingerprint)


def _build(network: str, pack: Pack, folder: Path, build: Build, fingerprint: str) -> Outcome:
    # The fp32 file comes first, and fp16's beside it.
    needed = sum(elements(pack.folder / part) for part in NETWORK_FOLDERS[network])
    needed *= BYTES_OF_A_WEIGHT if build.precision_of(network) == "fp32" else 2 * BYTES_OF_A_WEIGHT
    require_room(folder.parent, needed, f"the engine of {network}", "--repository")
    # A name that Triton does not look at; the folder takes its place when all of it is there.
    aside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        built = build_network(network, pack, aside, build)
        megabytes = _megabytes(aside)
        if built.parity.passed:
            record = Record(
                network=network,
                pack=pack.folder.name,
                fingerprint=fingerprint,
                build=asdict(build),
                error=built.parity.error,
                tolerance=built.parity.tolerance,
                opset=OPSET,
                torch=torch.__version__,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                fused=built.fused,
                hardware=built.hardware,
            )
            (aside / RECORD_FILE).write_text(_json(asdict(record)), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Outcome(network, built.parity, megabytes, built.fused, built=True)


def _fingerprint(network: str, pack: Pack, build: Build) -> str:
    """Changes when the weights, the kind of engine, the exporter or its libraries change."""
    digest = hashlib.sha256(pack.digest(network).encode())
    digest.update(_json(asdict(build)).encode())
    if build.engine == "tensorrt":
        digest.update(tensorrt.tied_to().encode())
    for package in ("torch", "diffusers", "transformers", "onnx", "onnxruntime", "onnxscript"):
        digest.update(f"{package}=={version(package)}\n".encode())
    contract_source = Path(__file__).parent.parent / "pipeline" / "contract.py"
    for source in (*sorted(Path(__file__).parent.glob("*.py")), contract_source):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def read_record(folder: Path) -> Record | None:
    """What the engine in `folder` was made of; None when there is no whole engine."""
    if not any((folder / name).exists() for name in ENGINE_FILES):
        return None
    try:
        return Record(**json.loads((folder / RECORD_FILE).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return None


def _side_files(pack: Pack, repository: Path, build: Build) -> dict[str, str]:
    """The small files that Python models read from their version folder; the marker comes last."""
    engines = _engines_in(repository, names_of(pack))
    facts = {**pack.facts(), **asdict(build), "model_config": KINDS[build.engine]}
    return {
        f"tokenizer/{VERSION}/tokenizer.json": pack.tokenizer_json(),
        f"image_processor/{VERSION}/preprocessor_config.json": _json(pack.preprocessor_config()),
        f"render/{VERSION}/scheduler_config.json": _json(pack.scheduler_config()),
        LATENT_RGB: _latent_rgb(pack, repository / LATENT_RGB, engines.get("vae_encoder", "")),
        FINISHED: _json({**facts, "engines": engines}),
    }


def _engines_in(repository: Path, networks: Iterable[str]) -> dict[str, str]:
    """The fingerprint that names each network's engine."""
    records = {name: read_record(repository / name / VERSION) for name in networks}
    return {
        name: record.fingerprint[:FINGERPRINT_SHOWN] for name, record in records.items() if record
    }


def _latent_rgb(pack: Pack, path: Path, engine: str) -> str:
    """What previews are made with: the file at `path` while it belongs to `engine`, or a new one.

    Args:
        engine: of the VAE's encoder.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
        LatentRgb.from_config(found)
        if found["vae_encoder"] == engine:
            return text
    return _json({"vae_encoder": engine, "weights": latent_rgb.fit(pack.vae)})


def write_aside(path: Path, text: str) -> None:
    """Write `text` to `path` at once: a reader sees the old file or the new one, never a part."""
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
