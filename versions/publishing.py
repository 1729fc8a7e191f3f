"""A new version: an engine is checked, copied aside and tried, and then it is the candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from versions import aliases, catalogue, intent, locks, manifest, sources
from versions.changes import (
    Outcome,
    holding,
    operation,
    outcome,
    require_finished,
    require_folder,
    require_whole,
    switch,
    unnamed,
    with_aliases,
)
from versions.history import Entry
from versions.intent import Intent
from versions.manifest import Manifest, Report, silent

PATIENCE = 10.0
"""Seconds to wait for operations that take a moment."""
LOOK_SECONDS = 1.0
"""Longer than another command holds the lock of publishing to see what was left of one."""


def publish(
    repository: Path,
    model: str,
    source: Path,
    *,
    who: str,
    why: str = "",
    origin: str = "",
    dry_run: bool = False,
    report: Report = silent,
) -> Outcome:
    """Make the engine in `source` the next version of `model`, and its candidate.

    It is checked, copied aside, tried beside the champion in a process of its own, and only then a
    version. Meanwhile everything but another publish goes on. An engine that is there already is
    not copied again.

    Args:
        model: one that is painted with, or ``clip``.
        source: the folder of an engine and its manifest, or a repository that an export wrote.
        origin: where that folder was fetched from, for the history; empty where it was not.
        report: told of each step and its bytes.

    Raises:
        InvalidRequest: there is no such model.
        Declined: the engine is not fit, or `repository` is half exported; says why.
        Busy: another publish is in progress.
        Unavailable: it cannot be tried here, or there is no room.
    """
    folders = sources.folders_of(model, source)
    require_folder(repository)
    doing = f"publish of {model}"
    with _publishing(repository, who, doing, dry_run) as found:
        # Not before: of an export that is in progress its lock says more.
        require_finished(repository)
        manifests = {
            name: sources.checked(repository, name, folder) for name, folder in folders.items()
        }
        same = sources.same_version(repository, manifests)
        if same:
            # So say the manifests. What lies there may be half of it all the same.
            for folder in folders.values():
                manifest.verify(folder, report)
            if same not in aliases.read(repository).of(model).versions:
                there = {name: repository / name / str(same) for name in folders}
                sources.try_sources(repository, there, report)
            with operation(repository, who, doing, dry_run, PATIENCE):
                entry = Entry("publish", model, who, why, to_version=same, source=origin)
                return _propose(repository, entry, dry_run, found)
        version = catalogue.next_version(repository, model)
        if dry_run:
            sources.try_sources(repository, folders, report)
            current = aliases.read(repository).of(model)
            said = [
                found,
                f"{model} {version} would be published from {origin or source}, as the candidate.",
                unnamed(model, current, replace(current, candidate=version), dry_run=True),
            ]
            return outcome(repository, said, True, model, version, dry_run=True)
        entry = Entry("publish", model, who, why, to_version=version, source=origin)
        plan = Intent(entry, installs=tuple((name, version) for name in folders))
        intent.begin_copying(repository, plan)
        try:
            for (name, _), folder in zip(plan.installs, folders.values(), strict=True):
                aside = intent.aside(repository, (name, version))
                sources.copy(folder, aside, manifests[name], report)
                sources.try_one(repository, name, aside, manifests[name], report)
            # Whoever listens may break off here; from now on it is done to its end.
            report("putting it in place", 0, 0)
        except BaseException:
            intent.undo_copying(repository, plan)
            raise
        with operation(repository, who, doing, dry_run, PATIENCE):
            return _install(repository, plan, manifests, found)


@contextmanager
def _publishing(repository: Path, who: str, doing: str, dry_run: bool) -> Iterator[str]:
    """Nobody else publishes meanwhile; gives what was found half done and is mended."""
    if dry_run:
        with operation(repository, who, doing, dry_run) as found:
            yield found
        return
    with holding(repository, who, doing, locks.PUBLISHING, LOOK_SECONDS):
        with operation(repository, who, doing, dry_run, PATIENCE) as found:
            undone = intent.recover_copying(repository)
        yield f"{found} {undone}".strip()


def _install(
    repository: Path, plan: Intent, manifests: Mapping[str, Manifest], found: str
) -> Outcome:
    """Let what was copied be a version, and the candidate. Others may have come meanwhile."""
    model, version = plan.entry.model, plan.entry.to_version
    before = aliases.read(repository)
    current = before.of(model)
    plan = replace(plan, entry=replace(plan.entry, from_version=current.candidate))
    after = replace(current, candidate=version)
    plan, ended = with_aliases(plan, before, model, after, repository)
    intent.commit(repository, plan)
    told = f"{model} {version} is published, and the candidate."
    lost = unnamed(model, current, after, dry_run=False)
    said = [found, told, lost, *sources.tried_how(manifests), ended]
    return outcome(repository, said, True, model, version)


def _propose(repository: Path, entry: Entry, dry_run: bool, found: str) -> Outcome:
    """An engine that is there already becomes the candidate, unless it serves."""
    model, version = entry.model, entry.to_version
    assert version is not None  # noqa: S101 - it was found
    before = aliases.read(repository)
    current = before.of(model)
    there = f"{model} {version} is this very engine"
    if version in {current.champion, current.candidate}:
        alias = "champion" if version == current.champion else "candidate"
        said = f"{there}, and the {alias} already."
        return outcome(repository, [found, said], False, model, version)
    # It may have been retired while it was tried.
    require_whole(repository, model, version)
    entry = replace(entry, from_version=current.candidate)
    after = replace(current, candidate=version)
    lost = unnamed(model, current, after, dry_run=dry_run)
    told = f"{there}, and {{}} the candidate. {lost}".rstrip()
    return switch(repository, before, model, after, entry, told, dry_run, found)
