"""Where the tests' engines are: of the pack that ships, and among versions that nobody manages.

``python -m tests.exported`` brings them up to date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from export import command
from export.asked import Build, Target, Wanted
from export.managed import described
from maquette.paths import MODEL_REPOSITORY, ROOT
from versions.catalogue import is_managed

PACKS = ROOT / "packs"


def repository(own: Path = MODEL_REPOSITORY) -> Path:
    """`own`, or a folder aside where its versions are managed."""
    return ROOT / "out" / "tests" / "repository" if is_managed(own) else own


EXPORTED = repository()


def main() -> int:
    if EXPORTED != MODEL_REPOSITORY:
        told = f"{described(MODEL_REPOSITORY)}: the tests have engines of their own in {EXPORTED}."
        sys.stdout.write(f"{told}\n")
    return command.run(Wanted(str(PACKS / "tiny"), PACKS), Target(EXPORTED), Build())


if __name__ == "__main__":
    sys.exit(main())
