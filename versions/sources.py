"""An engine on its way into the repository: checked, copied aside, tried. Nothing serves it yet."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from pipeline import contract
from pipeline.errors import NotFound, Unavailable
from pipeline.pinned_versions import EXPORTED
from versions import aliases, catalogue, durable, manifest, trial
from versions.catalogue import members
from versions.errors import Declined
from versions.manifest import Manifest, Report


def folders_of(model: str, source: Path) -> dict[str, Path]:
    """The folder of each engine that is published, by the model's name.

    Raises:
        InvalidRequest: there is no such model.
        NotFound: there is no such folder.
    """
    names = members(model)
    if not source.is_dir():
        raise NotFound(f"{source} is not a folder. Give one that `maquette export` wrote.")
    if len(names) == 1 and (
        (source / manifest.FILE).exists() or not (source / names[0] / str(EXPORTED)).is_dir()
    ):
        return {names[0]: source.resolve()}
    return {name: (source / name / str(EXPORTED)).resolve() for name in names}


def checked(repository: Path, network: str, folder: Path) -> Manifest:
    """The manifest in `folder`, whose words fit what is asked of it.

    Raises:
        Declined: they do not.
    """
    found = manifest.read(folder)
    if found.network != network:
        raise Declined(
            f"{folder} holds an engine for {found.network}, as its manifest says, and not for "
            f"{network}."
        )
    if found.few_steps:
        raise Declined(
            f"{folder} holds the unet that paints in few steps, which is always version "
            f"{contract.FEW_STEPS_VERSION}; take version {EXPORTED} of that export."
        )
    champion = _champion_folder(repository, network)
    kind = manifest.read(champion).kind
    if found.kind != kind:
        raise Declined(
            f"{folder} holds an engine of kind {found.kind}, and {repository} serves {kind}; "
            "export it again with the same --engine and --precision."
        )
    manifest.require_names(folder, found)
    return found


def _champion_folder(repository: Path, network: str) -> Path:
    champion = aliases.read(repository).aliases[network].champion
    return repository / network / str(champion)


def same_version(repository: Path, manifests: Mapping[str, Manifest]) -> int | None:
    """The version on disk that has the files of `manifests`."""
    wanted = {name: found.sha256 for name, found in manifests.items()}
    first = next(iter(wanted))
    for version in catalogue.on_disk(repository, first):
        if catalogue.digests(repository, dict.fromkeys(wanted, version)) == wanted and (
            (first, version) != ("unet", contract.FEW_STEPS_VERSION)
        ):
            return version
    return None


def copy(source: Path, target: Path, found: Manifest, report: Report) -> None:
    """Copy what `found` names, checked on its way, so that it lasts.

    Raises:
        Declined: a file is not the one that the manifest names.
        Unavailable: there is no room.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    total = sum((source / name).stat().st_size for name in found.files)
    free = shutil.disk_usage(target).free
    if total > free:
        raise Unavailable(
            f"{source} has {total / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free beside "
            f"{target.parent}. Retire a version, or make room."
        )
    done = 0
    for name, wanted in found.files.items():
        digest = sha256()
        with (source / name).open("rb") as reading, (target / name).open("wb") as writing:
            while chunk := reading.read(manifest.CHUNK):
                digest.update(chunk)
                writing.write(chunk)
                done += len(chunk)
                report(f"copying {name}", done, total)
            writing.flush()
            os.fsync(writing.fileno())
        manifest.require_same(source, name, wanted, digest.hexdigest())
    manifest.write(target, found)
    durable.sync_folder(target.parent)


def try_sources(repository: Path, sources: Mapping[str, Path], report: Report) -> None:
    """Try engines where they lie, as a dry run does.

    Raises:
        Declined: one is not fit.
    """
    for name, folder in sources.items():
        try_one(repository, name, folder, manifest.verify(folder, report), report)


def try_one(repository: Path, network: str, folder: Path, found: Manifest, report: Report) -> None:
    """See whether the engine in `folder` can take the champion's place.

    Raises:
        Declined: it cannot.
    """
    if found.build["engine"] == "tensorrt":
        return
    report(f"trying {network}", 0, 0)
    champions = {}
    if trial.runs_here(found.build):
        for name in trial.needed(network):
            champion = _champion_folder(repository, name)
            champions[name] = str((champion / found.engine).resolve())
    version = str(EXPORTED)
    trial.try_engine(
        trial.EngineValidation(
            network=network,
            engine=str((folder / found.engine).resolve()),
            precision=found.build["precision"],
            champions=champions,
            tokenizer=str((repository / "tokenizer" / version / "tokenizer.json").resolve()),
            preprocessor=str(
                (repository / "image_processor" / version / "preprocessor_config.json").resolve()
            ),
            pack=str((repository / catalogue.FINISHED).resolve()),
        )
    )


def tried_how(manifests: Mapping[str, Manifest]) -> list[str]:
    """What is to be said of how they were tried."""
    found = next(iter(manifests.values()))
    if trial.runs_here(found.build):
        return []
    looked = "its manifest" if found.build["engine"] == "tensorrt" else "its manifest and weights"
    return [f"A CPU cannot run engines of kind {found.kind}, so {looked} alone were checked."]
