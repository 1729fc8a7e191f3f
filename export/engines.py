"""Engines in the model repository: what is up to date, and how a new one takes its place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from export import latent_rgb, tensorrt
from export.asked import Build
from export.build import Built, build_network
from export.configs import KINDS, configs_of, texts_for
from export.files import PackError, elements, require_room
from export.managed import exporting
from export.networks import NAMES, OPTIONAL, names_of
from export.onnx import OPSET, Parity
from export.pack import Pack
from export.pack_files import NETWORK_FOLDERS
from maquette.paths import BUNDLED_MODELS
from pipeline import contract
from pipeline.pinned_versions import EXPORTED
from pipeline.preview import LatentRgb
from pipeline.topology import SD15, Topology
from versions import durable, manifest
from versions.catalogue import FINISHED
from versions.errors import Declined
from versions.manifest import ENGINE_FILES, Manifest

VERSION = str(EXPORTED)
LIBRARIES = ("torch", "diffusers", "transformers", "onnx", "onnxruntime", "onnxscript")
"""What an engine depends on."""
LATENT_RGB = f"render/{VERSION}/latent_rgb.json"
BYTES_OF_A_WEIGHT = 4


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
    only: Collection[str] = (),
    report: Callable[[str], None],
) -> Iterator[Outcome]:
    """Bring the engines in `repository` up to date with `pack`, one network at a time.

    An engine that fails its parity check is not installed; its outcome says so. An interrupted
    export goes on where it was: what is finished is kept.

    Args:
        build: which kind of engine.
        force: rebuild engines that are up to date.
        only: names of engines, as :func:`engine_name` gives them; all where it is empty. What
            Triton needs beside the engines is written once all of them are up to date.
        report: told what is being worked on.

    Raises:
        PackError: the pack cannot be exported; says why and how to mend it.
        Declined: the versions in `repository` are managed.
        Busy: somebody else writes into `repository`.
    """
    report("checking the pack")
    pack.check()
    with exporting(repository, pack.folder.name):
        prepare(repository, pack.topology)
        chosen, whole = _chosen(pack, repository, build, only)
        if whole:
            _remove_others(pack, repository)
        for network, made_of in chosen:
            report(engine_name(network, made_of))
            outcome = _bring_up_to_date(network, made_of, repository, build, force)
            whole &= outcome.parity.passed
            yield outcome
            made_of.release()
        if whole:
            side_files = _side_files(pack, repository, build)
            _write_texts(repository, configs_of(pack, repository, build) | side_files)
            pack.release()


def _chosen(
    pack: Pack, repository: Path, build: Build, only: Collection[str]
) -> tuple[list[tuple[str, Pack]], bool]:
    """The engines that `only` names, and whether `repository` holds all of `pack` with them.

    Raises:
        PackError: `pack` has no such engine, or it would stand among engines of another pack.
    """
    every = {engine_name(*one): one for one in _to_build(pack)}
    unknown = sorted(set(only) - set(every))
    if unknown:
        raise PackError(
            f"--only {unknown[0]}: {pack.folder} has no such network. It has {', '.join(every)}."
        )
    if not only:
        return list(every.values()), True
    others = [
        name
        for name, (network, made_of) in every.items()
        if name not in only and not _is_up_to_date(network, made_of, repository, build)
    ]
    if others and (repository / FINISHED).exists():
        raise PackError(
            f"{repository} is exported whole, and its {', '.join(others)} would not be of "
            f"{pack.folder} as that is now. Name them with --only too, leave --only out, or choose "
            "another folder with --repository."
        )
    return [one for name, one in every.items() if name in only], not others


def _to_build(pack: Pack) -> list[tuple[str, Pack]]:
    """Each network of `pack`; the UNet twice where there is one that paints in few steps."""
    networks = [(network, pack) for network in names_of(pack)]
    return [*networks, ("unet", pack.in_few_steps())] if pack.has_lcm_lora else networks


def _version(network: str, pack: Pack) -> str:
    few_steps = pack.few_steps and network == "unet"
    return str(contract.FEW_STEPS_VERSION) if few_steps else VERSION


def engine_name(network: str, pack: Pack) -> str:
    """What people are told: `network`, and its version where that is not the first."""
    version = _version(network, pack)
    return network if version == VERSION else f"{network}/{version}"


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
        durable.write_text(path, text)


def prepare(repository: Path, topology: Topology = SD15) -> None:
    """Give a repository of the user's own the files that are written by hand.

    Where a config is not what the contract says of `topology`, one that is takes its place.

    Raises:
        PackError: `repository` is where they are kept, and `topology` is another.
    """
    if repository.resolve() == BUNDLED_MODELS:
        if texts_for(topology, repository):
            raise PackError(
                f"The configs in {repository} are Stable Diffusion 1.5's, and this pack is of "
                "another topology. Choose another folder with --repository."
            )
        return
    shutil.copytree(BUNDLED_MODELS, repository, dirs_exist_ok=True, ignore=_built)
    for name, text in texts_for(topology, repository).items():
        (repository / FINISHED).unlink(missing_ok=True)
        durable.write_text(repository / name, text)


def _built(folder: str, names: list[str]) -> set[str]:
    """What an export wrote into `folder` of the static repository: version folders, for a network.

    Triton loads every version of the UNet that it finds, so not even an empty one is copied.
    """
    if Path(folder).name in (*NAMES, *OPTIONAL):
        return {name for name in names if name != "config.pbtxt"}
    return shutil.ignore_patterns("*.json", "*.jsonl", "__pycache__", ".*")(folder, names)


def _remove_others(pack: Pack, repository: Path) -> None:
    """Take away the engines of another pack for what `pack` has not."""
    gone = [repository / name / VERSION for name in OPTIONAL if name not in names_of(pack)]
    if not pack.has_lcm_lora:
        gone.append(repository / "unet" / str(contract.FEW_STEPS_VERSION))
    for folder in gone:
        if folder.exists():
            (repository / FINISHED).unlink(missing_ok=True)
            shutil.rmtree(folder)


def _bring_up_to_date(
    network: str, pack: Pack, repository: Path, build: Build, force: bool
) -> Outcome:
    folder = repository / network / _version(network, pack)
    fingerprint = fingerprint_of(network, pack, build)
    found = read_manifest(folder)
    if found and found.fingerprint == fingerprint and not force:
        parity = Parity(found.error, found.tolerance)
        name = engine_name(network, pack)
        return Outcome(name, parity, _megabytes(folder), dict(found.fused), built=False)
    (repository / FINISHED).unlink(missing_ok=True)
    return _build(network, pack, folder, build, fingerprint)


def _is_up_to_date(network: str, pack: Pack, repository: Path, build: Build) -> bool:
    found = read_manifest(repository / network / _version(network, pack))
    return found is not None and found.fingerprint == fingerprint_of(network, pack, build)


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
            manifest.write(aside, _manifest(network, pack, aside, build, fingerprint, built))
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Outcome(engine_name(network, pack), built.parity, megabytes, built.fused, built=True)


def _manifest(
    network: str, pack: Pack, folder: Path, build: Build, fingerprint: str, built: Built
) -> Manifest:
    """What the engine is that lies in `folder`."""
    return Manifest(
        network=network,
        pack=pack.folder.name,
        revision=pack.digest(network),
        fingerprint=fingerprint,
        build=asdict(build),
        files=manifest.digests(folder),
        error=built.parity.error,
        tolerance=built.parity.tolerance,
        opset=OPSET,
        libraries={name: version(name) for name in ("maquette", *LIBRARIES)},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        licence=_licence(network, pack),
        few_steps=pack.few_steps and network == "unet",
        fused=built.fused,
        hardware=built.hardware,
    )


def _licence(network: str, pack: Pack) -> str:
    """What the pack names for the parts that `network` is made of; empty where it names none."""
    try:
        facts = json.loads((pack.folder / "pack.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    parts = NETWORK_FOLDERS[network]
    named = {
        source["licence"]
        for source in facts.get("sources", {}).values()
        if any(file.split("/")[0] in parts for file in source["files"])
    }
    return ", ".join(sorted(named)) or str(facts.get("licence", ""))


def fingerprint_of(network: str, pack: Pack, build: Build) -> str:
    """Changes when the weights, the kind of engine, the exporter or its libraries change."""
    digest = hashlib.sha256(pack.digest(network).encode())
    digest.update(_json([asdict(build), asdict(pack.topology)]).encode())
    if build.engine == "tensorrt":
        digest.update(tensorrt.tied_to().encode())
    for package in LIBRARIES:
        digest.update(f"{package}=={version(package)}\n".encode())
    own = Path(__file__).parent
    pipeline = own.parent / "pipeline"
    for source in (*sorted(own.glob("*.py")), pipeline / "contract.py", pipeline / "topology.py"):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """What the engine in `folder` is; None when there is no whole engine."""
    if not any((folder / name).exists() for name in set(ENGINE_FILES.values())):
        return None
    try:
        return manifest.read(folder)
    except Declined:
        return None


def _side_files(pack: Pack, repository: Path, build: Build) -> dict[str, str]:
    """The small files that Python models read from their version folder; the marker comes last."""
    engines = _engines_in(repository, pack)
    facts = {
        **pack.facts(),
        **asdict(build),
        "model_config": KINDS[build.engine],
        "few_steps": pack.has_lcm_lora,
    }
    return {
        f"tokenizer/{VERSION}/tokenizer.json": pack.tokenizer_json(),
        f"image_processor/{VERSION}/preprocessor_config.json": _json(pack.preprocessor_config()),
        f"render/{VERSION}/scheduler_config.json": _json(pack.scheduler_config()),
        LATENT_RGB: _latent_rgb(pack, repository / LATENT_RGB, engines.get("vae_encoder", "")),
        FINISHED: _json({**facts, "engines": engines}),
    }


def _engines_in(repository: Path, pack: Pack) -> dict[str, str]:
    """The fingerprint that names each engine of `pack`."""
    manifests = {
        engine_name(network, made_of): read_manifest(
            repository / network / _version(network, made_of)
        )
        for network, made_of in _to_build(pack)
    }
    return {name: found.mark for name, found in manifests.items() if found}


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


def _json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6
