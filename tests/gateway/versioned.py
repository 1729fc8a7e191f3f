"""A repository with versions to promote and retire."""

from __future__ import annotations

from pathlib import Path

from tests.versions.engines import write_version
from versions import aliases, catalogue
from versions.aliases import CLIP, Aliases

MODEL = "vae_decoder"


def versioned(folder: Path) -> Path:
    """Version 1 of `MODEL` is the champion, 2 the candidate and 3 neither; the pair has 1 and 2."""
    for version in (1, 2, 3):
        write_version(folder / MODEL / str(version), MODEL, seed=version)
    for network in CLIP:
        for version in (1, 2, 3):
            write_version(folder / network / str(version), network, seed=version)
    for model in (MODEL, CLIP[0]):
        aliases.write(folder, model, Aliases(champion=1, candidate=2))
    finished = folder / catalogue.FINISHED
    finished.parent.mkdir(parents=True)
    finished.write_text('{"pack": "tiny", "native_size": 256}')
    return folder
