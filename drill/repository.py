"""A model repository of the drill's own, beside the one that is exported."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from versions import aliases, canary, history
from versions.catalogue import exported_versions
from versions.manifest import ENGINE_SUFFIXES

OF_ONE_REPOSITORY = (aliases.FILE, canary.FILE, history.FILE, "__pycache__", ".*")
"""What is of its own operations."""


def copied(source: Path, target: Path) -> Path:
    """`target`, with what was exported into `source`; engines are the same files on disk."""
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns(*OF_ONE_REPOSITORY)
    shutil.copytree(source, target, ignore=ignored, copy_function=_link_or_copy)
    for version in target.glob("*/[0-9]*"):
        if int(version.name) not in exported_versions(version.parent.name):
            shutil.rmtree(version)
    return target


def _link_or_copy(source: str, target: str) -> None:
    if Path(source).suffix in ENGINE_SUFFIXES:
        with suppress(OSError):  # Another disk.
            os.link(source, target)
            return
    shutil.copy2(source, target)
