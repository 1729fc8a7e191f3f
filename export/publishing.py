"""A pack's engines as candidates of a repository whose versions are managed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from pathlib import Path

from export.asked import Build
from export.engines import fingerprint_of
from export.files import PackError
from export.pack import Pack
from versions import aliases, manifest, repositories
from versions.catalogue import MODELS, members
from versions.changes import Outcome
from versions.errors import Declined
from versions.repositories import LocalRepository


def models_to_publish(
    pack: Pack, repository: Path, build: Build, only: Collection[str]
) -> list[str]:
    """The models of `pack` that are not what serves in `repository`.

    Args:
        only: networks to look at; all where it is empty.

    Raises:
        PackError: one of `only` has no versions.
        Declined: `repository` serves another kind of engines, or cannot say what it serves.
    """
    by_network = {network: model for model in MODELS for network in members(model)}
    unknown = [network for network in only if network not in by_network]
    if unknown:
        raise PackError(
            f"--only {unknown[0]}: it has no versions that are published. Those that have: "
            f"{', '.join(by_network)}."
        )
    asked = dict.fromkeys(by_network[network] for network in only or by_network)
    return [model for model in asked if not _serves(pack, model, repository, build)]


def _serves(pack: Pack, model: str, repository: Path, build: Build) -> bool:
    """Whether the champion of `model` is what an export of `pack` would be."""
    version = aliases.read(repository).of(model).champion
    found = {name: manifest.read(repository / name / str(version)) for name in members(model)}
    for champion in found.values():
        if dict(champion.build) != asdict(build):
            raise Declined(
                f"{repository} serves engines of kind {champion.kind}. Add --engine "
                f"{champion.build['engine']} --precision {champion.build['precision']}."
            )
    return all(
        champion.fingerprint == fingerprint_of(name, pack, build)
        for name, champion in found.items()
    )


def publish(
    models: Collection[str],
    source: Path,
    repository: Path,
    who: str,
    why: str,
    report: Callable[[str], None],
) -> Iterator[Outcome]:
    """Make the engines in `source` the candidates of `models`, one after the other.

    Raises:
        MaquetteError: as :func:`versions.publishing.publish`.
    """
    for model in models:
        report(f"publishing {model}")
        yield repositories.publish(
            LocalRepository(repository), model, str(source), who=who, why=why
        )
