"""Where engines that are published through a door may lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InvalidRequest, Words, shorten
from versions import fetching
from versions.errors import Declined

MAX_SOURCE = 1000
"""Characters."""
URIS = "s3://…, models:/… or runs:/…"


@dataclass(frozen=True)
class Sources:
    """What callers may name."""

    folder: Path | None = None
    """Below which paths are; None where the operator set none aside."""
    elsewhere: Sequence[str] = ()
    """What the addresses of other sources may begin with."""

    def located(self, source: str) -> str:
        """What :func:`versions.fetching.fetched` takes for `source`, if a caller may name it.

        Args:
            source: a path below the folder, or the URI of something elsewhere.

        Raises:
            InvalidRequest: it is none of these, has a secret in it, or leads out of the folder.
            Declined: it is a path, and there is no such folder; or no such address is allowed.
        """
        _require_no_secret(source)
        if not 0 < len(source) <= MAX_SOURCE or not source.isprintable():
            allowed = f"a path, or {URIS}, of 1 to {MAX_SOURCE} printable characters"
            raise InvalidRequest("source", source, allowed, "Say where the engine is.")
        if fetching.is_elsewhere(source):
            fetching.require_known(source)
            _require_allowed(self.elsewhere, source)
            return source
        if self.folder is None:
            raise Declined(
                "This gateway takes engines from no folder. Start it with MAQUETTE_INCOMING, a "
                "folder for what is to be published, or name a source that "
                f"MAQUETTE_PUBLISH_SOURCES allows: {URIS}."
            )
        path = self.folder / source
        if not _is_inside(self.folder, path):
            allowed = "a folder below MAQUETTE_INCOMING, without links"
            raise InvalidRequest("source", source, allowed, "Copy the engine into it, whole.")
        return str(path.resolve())


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


def _require_allowed(prefixes: Sequence[str], source: str) -> None:
    """See that `source` lies below one of `prefixes`, as whole names and without a way back.

    Raises:
        Declined: it does not.
    """
    below = any(
        source.startswith(prefix) and (prefix[-1:] in "/@" or source[len(prefix) :][:1] in "/@")
        for prefix in prefixes
    )
    if not below or {".", ".."} & set(source.split("/")):
        allowed = ", ".join(prefixes) or "none"
        raise Declined(
            f"This gateway publishes from no address such as {shorten(source)}; allowed: {allowed}."
            " Copy the engine there, or have MAQUETTE_PUBLISH_SOURCES allow its address."
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
