"""Engines that lie elsewhere, brought here for as long as they are looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InvalidRequest
from versions import objects, registry
from versions.manifest import Report, silent


def is_elsewhere(source: str) -> bool:
    """Whether `source` is no path on this machine."""
    return "://" in source or source.startswith(registry.SCHEMES)


def resolved(source: str) -> str:
    """`source` as it is to be written down: a registry's alias becomes the version it names today.

    Raises:
        InvalidRequest: it is no address of a registry.
        NotFound: the registry has no such version.
        Unavailable: the registry does not answer.
    """
    return registry.resolved(source) if source.startswith(registry.SCHEMES) else source


def require_known(source: str) -> None:
    """See that `source`, which is elsewhere, can be fetched from there.

    Raises:
        InvalidRequest: nobody knows how.
    """
    if not source.startswith((objects.SCHEME, *registry.SCHEMES)):
        allowed = "a folder, s3://bucket/prefix, models:/name/3, models:/name@alias, runs:/id/path"
        raise InvalidRequest(
            "source",
            objects.discreet(source),
            allowed,
            "Give one of these, or copy it to a folder.",
        )


@contextmanager
def fetched(source: str, report: Report = silent) -> Iterator[Path]:
    """The folder that `source` names, for the block: a path as it is, anything else downloaded.

    Args:
        source: a path, ``s3://bucket/prefix``, or of an MLflow registry ``models:/name/3``,
            ``models:/name@alias`` or ``runs:/id/path``.
        report: told of each file and its bytes.

    Raises:
        InvalidRequest: it is no address that can be fetched from.
        NotFound: there is nothing.
        Unavailable: the store or the registry does not answer, or there is no room.
    """
    if not is_elsewhere(source):
        yield Path(source)
        return
    with tempfile.TemporaryDirectory(prefix="maquette-") as name:
        folder = Path(name)
        _download(source, folder, report)
        yield folder


def _download(source: str, folder: Path, report: Report) -> None:
    require_known(source)
    if source.startswith(objects.SCHEME):
        objects.download(source, folder, report)
    else:
        registry.download(source, folder, report)
