from __future__ import annotations

import pytest

from export.pack import Pack
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def pack() -> Pack:
    return Pack(ROOT / "packs" / "tiny")
