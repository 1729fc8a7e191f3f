"""The configs that hold Triton to the versions that serve.

Beside each network's own config lies ``configs/served.pbtxt``, which names those versions; Triton
takes it with ``--model-config-name served``. It must be right at any time: whenever Triton loads an
ensemble, it looks again at the networks in it. Plain text in, plain text out, because this runs in
Triton's image too, where there is no protobuf.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from pipeline import contract
from versions.manifest import ENGINE_FILES

NAME = "served"
_POLICY = re.compile(r"^version_policy\b.*\n?", re.MULTILINE)
_VERSIONS = re.compile(r"^version_policy\b.* versions: \[(.*)\]", re.MULTILINE)


def has_engine(repository: Path, engine: str) -> bool:
    """Whether `engine`, a ``network/version``, lies in `repository`."""
    return any((repository / engine / name).exists() for name in set(ENGINE_FILES.values()))


def write(repository: Path, network: str, kind: str | None, versions: Iterable[int]) -> None:
    """Write what holds Triton to those of `versions` of `network` that there are.

    Args:
        kind: of the config that the exporter wrote for a GPU; None takes the one written by hand.
    """
    own = repository / network / (f"configs/{kind}.pbtxt" if kind else "config.pbtxt")
    _put(repository, network, own.read_text(encoding="utf-8"), versions)


def hold(repository: Path, network: str, versions: Collection[int]) -> None:
    """The same in a config that was written before; nothing where Triton was never started.

    What would leave none changes nothing either: Triton would refuse the whole network.
    """
    path = _path(repository, network)
    if path.exists() and any(has_engine(repository, f"{network}/{number}") for number in versions):
        _put(repository, network, path.read_text(encoding="utf-8"), versions)


def held(repository: Path, network: str) -> frozenset[int]:
    """The versions of `network` that Triton is held to; none where it was never started."""
    path = _path(repository, network)
    found = _VERSIONS.search(path.read_text(encoding="utf-8")) if path.exists() else None
    return frozenset(map(int, re.findall(r"\d+", found[1]))) if found else frozenset()


def _put(repository: Path, network: str, text: str, versions: Iterable[int]) -> None:
    meant = set(versions) | ({contract.FEW_STEPS_VERSION} if network == "unet" else set())
    there = sorted(number for number in meant if has_engine(repository, f"{network}/{number}"))
    policy = f"version_policy {{ specific {{ versions: {there} }} }}\n"
    path = _path(repository, network)
    whole = f"{_POLICY.sub('', text).rstrip()}\n{policy}"
    if path.exists() and path.read_text(encoding="utf-8") == whole:
        # Triton takes a file that was touched for one that was changed.
        return
    path.parent.mkdir(exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    aside.write_text(whole, encoding="utf-8")
    aside.replace(path)


def _path(repository: Path, network: str) -> Path:
    return repository / network / "configs" / f"{NAME}.pbtxt"
