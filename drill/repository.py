"""A model repository of the drill's own, beside the one that is exported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from versions import aliases, canary, history
from versions.catalogue import exported_versions
from versions.manifest import ENGINE_SUFFIXES

OF_ONE_REPOSITORY = (aliases.FILE, canary.FILE, history.FILE, "__pycache__", ".*")
"""What is of its own operations."""


def copied(source: Path, target: Path) -> Path:
    """`target`, with what was exported into `source`; engines are the same files on disk."""
    shutil.rmtree(target, ignore_errors=True)

    def ignore(folder: str, names: list[str]) -> set[str]:
        published = _published(source, Path(folder), names)
        return published | shutil.ignore_patterns(*OF_ONE_REPOSITORY)(folder, names)

    shutil.copytree(source, target, ignore=ignore, copy_function=_link_or_copy)
    return target


def _published(source: Path, folder: Path, names: list[str]) -> set[str]:
    """Versions that no export writes."""
    if folder.parent != source:
        return set()
    exported = exported_versions(folder.name)
    return {name for name in names if name.isdigit() and int(name) not in exported}


def _link_or_copy(source: str, target: str) -> None:
    if Path(source).suffix in ENGINE_SUFFIXES:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # Another disk.
    shutil.copy2(source, target)
