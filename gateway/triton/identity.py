"""What the networks are that make a picture: one account of them, for pictures and for callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.pinned_versions import EXPORTED
from pipeline.request import MAX_PROMPT
from versions import manifest
from versions.errors import Declined
from versions.manifest import Manifest
from versions.repositories import Repository


class Identities:
    """Describes versions by their manifests, each of which is read once: it never changes.

    Args:
        repository: where they lie; None where what was exported serves and nothing else.
    """

    def __init__(self, repository: Repository | None) -> None:
        self._repository = repository
        self._known: dict[tuple[str, int], Manifest] = {}

    def are_known(self, versions: Mapping[str, int]) -> bool:
        """Whether describing `versions` reads no file."""
        return self._repository is None or versions.items() <= self._known.keys()

    def of(self, told: Mapping[str, Any], versions: Mapping[str, int]) -> dict[str, Any]:
        """The pack, the engines and the files of `versions`, by the network's name.

        Args:
            told: as the ``render`` model tells it: what the last export wrote. It holds for
                versions without a manifest, which are exported ones.
        """
        found = self._manifests(versions)
        exported = {
            network: engine
            for network, engine in told["engines"].items()
            if versions.get(network) == EXPORTED
        }
        packs = dict.fromkeys(versions, told["name"])
        return {
            "name": _pack(packs | {network: made.pack for network, made in found.items()}),
            "precision": told["precision"],
            "engine": told["engine"],
            "engines": exported | {network: made.mark for network, made in found.items()},
            "versions": dict(versions),
            "sha256": {network: made.sha256 for network, made in found.items()},
        }

    def _manifests(self, versions: Mapping[str, int]) -> dict[str, Manifest]:
        """Those that there are; an export of before there were manifests has none."""
        if self._repository is None:
            return {}
        for version in versions.items() - self._known.keys():
            network, number = version
            try:
                folder = self._repository.folder / network / str(number)
                self._known[version] = manifest.read(folder)
            except Declined:
                continue
        return {
            network: self._known[network, number]
            for network, number in versions.items()
            if (network, number) in self._known
        }


def _pack(packs: Mapping[str, str]) -> str:
    """The pack that most networks are of, and which are of another."""
    most = Counter(packs.values()).most_common(1)[0][0]
    others = [f"{network} of {pack}" for network, pack in packs.items() if pack != most]
    # As long as a picture may say it.
    return (f"{most} ({', '.join(others)})" if others else most)[:MAX_PROMPT]
