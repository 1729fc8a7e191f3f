"""What Triton is started with: which models, and which versions of them.

Candidates are not among them: the gateway has them loaded once everything serves, and one that does
not load keeps nothing from starting.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline import contract, pinned_versions
from pipeline.errors import MaquetteError
from pipeline.pinned_versions import EXPORTED
from versions import aliases, configs
from versions.aliases import CLIP, VERSIONED, Snapshot

_PAINTING = ("condition", "denoiser", "denoiser_lcm")
_EMBEDDING = ("embed_text", "embed_image")


def prepare(repository: Path, kind: str | None = None) -> list[str]:
    """Write what Triton is held to, and tell the models to load, by name.

    Args:
        kind: of the configs that the exporter wrote for a GPU; None takes those written by hand.

    Raises:
        Unavailable: an alias file cannot be read.
    """
    snapshot = aliases.read(repository)
    for network in VERSIONED:
        configs.write(repository, network, kind, _trusted(snapshot, network))
    return models_of(repository, snapshot)


def models_of(repository: Path, snapshot: Snapshot | None = None) -> list[str]:
    """Names of the models to start with: optional ones where the engine they need is there.

    An ensemble of exported versions is among them while all of those are served. The gateway adds
    the others.
    """
    snapshot = snapshot or aliases.read(repository)
    plain = {network: EXPORTED in _trusted(snapshot, network) for network in VERSIONED}
    left_out: set[str] = set()
    if not all(plain[network] for network in pinned_versions.NETWORKS):
        left_out.update(_PAINTING)
    if not all(plain[network] for network in CLIP):
        left_out.update(_EMBEDDING)
    return [
        model.name
        for model in contract.MODELS.values()
        if model.name not in left_out
        and (not model.optional or configs.has_engine(repository, model.needs))
    ]


def _trusted(snapshot: Snapshot, network: str) -> set[int]:
    """Versions of `network` that made renders before."""
    found = snapshot.aliases[network]
    return {version for version in (found.champion, found.previous) if version is not None}


def main() -> int:
    """``python -m versions.served REPOSITORY KIND``: prepare, and print each model on a line.

    For containers. 1, with the reason on standard error, where the aliases cannot be read.
    """
    repository, kind = sys.argv[1:]
    try:
        models = prepare(Path(repository), kind)
    except MaquetteError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{name}\n" for name in models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
