"""Pictures that many tests draw on."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def sketch() -> bytes:
    return (ROOT / "examples/sketches/town-house.png").read_bytes()


@pytest.fixture(scope="session")
def style_image() -> bytes:
    return (ROOT / "examples/styles/cyberpunk.png").read_bytes()
