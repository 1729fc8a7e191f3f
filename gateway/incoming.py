"""Where engines that are published through a door may lie."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import InvalidRequest, Words
from versions import fetching
from versions.errors import Declined

MAX_SOURCE = 1000
"""Characters."""
URIS = "s3://…, models:/… or runs:/…"


def located(incoming: Path | None, source: str) -> str:
    """What :func:`versions.fetching.fetched` takes for `source`, if a caller may name it.

    Args:
        incoming: the folder below which paths are; None where the operator set none aside.
        source: a path below it, or the URI of something elsewhere.

    Raises:
        InvalidRequest: it is none of these, has a secret in it, or leads out of the folder.
        Declined: it is a path, and there is no such folder.
    """
    _require_no_secret(source)
    if not 0 < len(source) <= MAX_SOURCE or not source.isprintable():
        allowed = f"a path, or {URIS}, of 1 to {MAX_SOURCE} printable characters"
        raise InvalidRequest("source", source, allowed, "Say where the engine is.")
    if fetching.is_elsewhere(source):
        fetching.require_known(source)
        return source
    if incoming is None:
        raise Declined(
            "This gateway takes engines from no folder. Start it with MAQUETTE_INCOMING, a folder "
            f"for what is to be published, or name a source that is elsewhere: {URIS}."
        )
    folder = incoming / source
    if not _is_inside(incoming, folder):
        allowed = "a folder below MAQUETTE_INCOMING, without links"
        raise InvalidRequest("source", source, allowed, "Copy the engine into it, whole.")
    return str(folder.resolve())


def _require_no_secret(source: str) -> None:
    """See that nobody signs in by an address: the history and logs would keep it."""
    _, _, rest = source.partition("://")
    if "@" in rest.partition("/")[0]:
        raise InvalidRequest(
            "source",
            Words("an address with a name or a secret before “@”"),
            "one without",
            "Give the gateway what it signs in with in its environment.",
        )


def _is_inside(root: Path, folder: Path) -> bool:
    """Whether nothing in `folder` lies outside of `root`."""
    try:
        found = folder.resolve()
        return found.is_relative_to(root.resolve()) and not any(
            path.is_symlink() for path in found.rglob("*")
        )
    except (OSError, RuntimeError):
        # A name that is too long, or links in a circle.
        return False
