"""What versions lie in a repository, and which of them are what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline import contract, pinned_versions
from pipeline.errors import InvalidRequest, NotFound
from pipeline.pinned_versions import EXPORTED
from versions import aliases, history, manifest
from versions.aliases import CLIP, NAMES, PAIR
from versions.described import Described
from versions.errors import Declined
from versions.index import TEXTS
from versions.manifest import ENGINE_FILES, Manifest

MODELS = (*pinned_versions.NETWORKS, PAIR)
"""What can be published, promoted and so on; the pair goes together."""
FINISHED = f"render/{EXPORTED}/pack.json"
"""What an export writes last: away while engines are being replaced, so that no half is served."""
COPY = ".store"
"""A folder of a repository that is a copy of one in an object store."""


@dataclass(frozen=True)
class Version(Described):
    """One version of a model on disk."""

    model: str
    version: int
    aliases: tuple[str, ...]
    """Which of champion, candidate and previous it is."""
    few_steps: bool
    """Whether it is the UNet that is served beside the champion, for few steps."""
    megabytes: float
    sha256: Mapping[str, str]
    """What tells its files from any others, by the network's name."""
    manifests: Mapping[str, Manifest]
    """By the network's name; without those that cannot be read."""
    problem: str = ""
    """Why it is not whole, in one sentence; empty where it is."""


def members(model: str) -> tuple[str, ...]:
    """The networks that `model` stands for.

    Raises:
        InvalidRequest: it is no model that has versions.
    """
    if model in CLIP:
        remedy = f"{CLIP[0]} and {CLIP[1]} are the pair {PAIR}, and change together."
        raise InvalidRequest("model", model, ", ".join(MODELS), remedy)
    if model not in MODELS:
        raise InvalidRequest("model", model, ", ".join(MODELS), "Give one of them.")
    return CLIP if model == PAIR else (model,)


def versions_of(repository: Path, model: str) -> list[Version]:
    """Every version of `model`, the oldest first; an alias without files is one with a problem.

    Raises:
        InvalidRequest: there is no such model.
        Unavailable: the aliases cannot be read.
    """
    names = members(model)
    served = aliases.read(repository).of(model)
    there = {version for name in names for version in on_disk(repository, name)}
    return [
        _version(repository, model, version, served) for version in sorted(there | served.versions)
    ]


def find(repository: Path, model: str, name: str, field: str = "VERSION") -> Version:
    """The version of `model` that `name`, a number or an alias, stands for.

    Args:
        field: what the caller calls `name`.

    Raises:
        InvalidRequest: there is no such model, or `name` is neither.
        NotFound: there is no such version.
    """
    versions = versions_of(repository, model)
    if name in NAMES:
        found = next((version for version in versions if name in version.aliases), None)
        if found is None:
            raise NotFound(f"{model} has no {name} version. `maquette models list` shows them.")
        return found
    number = number_of(name, field)
    found = next((version for version in versions if version.version == number), None)
    if found is None:
        raise NotFound(no_version(repository, model, number))
    return found


def number_of(text: str, field: str = "VERSION") -> int:
    """The number of a version that `text` is.

    Raises:
        InvalidRequest: it is none.
    """
    if not re.fullmatch("[0-9]{1,9}", text):
        allowed = f"a number, or {', '.join(NAMES)}"
        raise InvalidRequest(field, text, allowed, "`maquette models list` shows them.")
    return int(text)


def on_disk(repository: Path, network: str) -> list[int]:
    """The numbers of the version folders of `network`, in order."""
    folders = (path for path in (repository / network).glob("*") if path.is_dir())
    return sorted(int(path.name) for path in folders if path.name.isascii() and path.name.isdigit())


def exported_versions(network: str) -> frozenset[int]:
    """The numbers of the versions of `network` that an export writes."""
    return frozenset({EXPORTED, *([contract.FEW_STEPS_VERSION] if network == "unet" else [])})


def is_managed(repository: Path) -> bool:
    """Whether `repository` has versions beside what an export wrote, or has had any.

    Then none of its versions may be replaced, the exported ones included.
    """
    return any((repository / name).exists() for name in (*TEXTS, COPY)) or any(
        set(on_disk(repository, name)) - exported_versions(name) for name in aliases.VERSIONED
    )


def next_version(repository: Path, model: str) -> int:
    """A number that no version of `model` has or had, so that it always means the same one."""
    first = contract.FEW_STEPS_VERSION if model == "unet" else EXPORTED
    there = [version for name in members(model) for version in on_disk(repository, name)]
    had = [
        version
        for entry in history.read(repository)
        if entry.model == model
        for version in (entry.from_version, entry.to_version)
        if version is not None
    ]
    return max(first, *there, *had, first) + 1


def no_version(repository: Path, model: str, version: int) -> str:
    """That `model` has no such version, and which it has."""
    there = ", ".join(map(str, on_disk(repository, members(model)[0]))) or "none"
    return f"{model} has no version {version}; there: {there}."


def digest(folder: Path) -> str:
    """What tells the version in `folder` from others; empty where it does not say what it is."""
    try:
        return manifest.read(folder).sha256
    except Declined:
        return ""


def digests(repository: Path, pinned: Mapping[str, int]) -> dict[str, str]:
    """What tells each version of `pinned` from others of its number; empty without a manifest."""
    return {model: digest(repository / model / str(version)) for model, version in pinned.items()}


def _version(repository: Path, model: str, version: int, served: aliases.Aliases) -> Version:
    manifests: dict[str, Manifest] = {}
    problem = ""
    size = 0
    for name in members(model):
        folder = repository / name / str(version)
        size += sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
        try:
            found = manifest.read(folder)
            manifests[name] = found
            manifest.require_names(folder, found)
        except Declined as error:
            # What an older exporter wrote serves as well, but says nothing of itself.
            exported = version in exported_versions(name) and any(
                (folder / file).exists() for file in ENGINE_FILES.values()
            )
            is_old = exported and not (folder / manifest.FILE).exists()
            old = f"{folder} was exported before there were manifests; run `maquette export` again."
            problem = problem or (old if is_old else str(error))
    named = tuple(name for name in NAMES if getattr(served, name) == version)
    return Version(
        model,
        version,
        named,
        few_steps=(model, version) == ("unet", contract.FEW_STEPS_VERSION),
        megabytes=round(size / 1e6, 1),
        sha256={name: found.sha256 for name, found in manifests.items()},
        manifests=manifests,
        problem=problem,
    )
