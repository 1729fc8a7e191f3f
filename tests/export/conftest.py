from __future__ import annotations

import pytest

from export.pack import Pack
from training.pack import write_random_pack


@pytest.fixture(scope="session")
def pack(tmp_path_factory) -> Pack:
    """One of random weights, where every tensor counts.

    In a trained pack some residuals hardly do, and a test could not tell one that is dropped.
    """
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    write_random_pack(folder, seed=0, report=lambda _part: None)
    return Pack(folder)
