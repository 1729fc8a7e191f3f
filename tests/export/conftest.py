from __future__ import annotations

import pytest

from export import build, latent_rgb
from export.onnx import Parity
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


@pytest.fixture
def quick(monkeypatch):
    """Engines are made in no time and hold no network: for tests of what becomes of them."""

    def write(network, module, pack, path):
        path.write_bytes(b"engine")

    monkeypatch.setattr(build, "export_network", write)
    monkeypatch.setattr(build, "check_parity", lambda *given: Parity(1e-6))
    monkeypatch.setattr(latent_rgb, "fit", lambda vae: [[0.0] * 3] * 5)
