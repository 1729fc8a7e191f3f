"""Repositories whose versions are managed: an export replaces none of them. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from versions import aliases, locks
from versions.catalogue import MODELS, is_managed
from versions.changes import holding
from versions.errors import Declined


@contextmanager
def exporting(repository: Path, pack: str) -> Iterator[None]:
    """Nobody publishes into `repository`, or exports into it, meanwhile.

    Raises:
        Busy: somebody does.
        Declined: its versions are managed.
    """
    repository.mkdir(parents=True, exist_ok=True)
    with holding(repository, "maquette export", f"the engines of {pack}", locks.PUBLISHING):
        require_unmanaged(repository)
        yield


def require_unmanaged(repository: Path) -> None:
    """See that an export may write into `repository`.

    Raises:
        Declined: its versions are managed, and never change.
        Unavailable: its aliases cannot be read.
    """
    if is_managed(repository):
        raise Declined(
            f"{described(repository)}, and an export would replace version 1, which never "
            "changes. Add --publish to make the engines candidates there, or export into another "
            "folder with --repository."
        )


def described(repository: Path) -> str:
    """That the versions of `repository` are managed, and which champions no export wrote."""
    named = aliases.read(repository)
    champions = {model: named.of(model).champion for model in MODELS}
    others = ", ".join(f"{model} {version}" for model, version in champions.items() if version > 1)
    return f"The versions in {repository} are managed" + (
        f" (champion: {others})" if others else ""
    )
