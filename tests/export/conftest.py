from __future__ import annotations

import onnx
import onnx.shape_inference
import pytest
from onnx.helper import make_graph, make_model

from export import build, latent_rgb
from export.onnx import Parity
from export.pack import Pack
from export.skip import COMPUTED
from tests.conftest import ROOT
from tests.exported import EXPORTED
from training.pack import write_random_pack


@pytest.fixture(scope="session")
def pack(tmp_path_factory) -> Pack:
    """One of random weights, where every tensor counts.

    In a trained pack some residuals hardly do, and a test could not tell one that is dropped.
    """
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    write_random_pack(folder, seed=0, report=lambda _part: None)
    return Pack(folder)


@pytest.fixture(scope="session")
def tiny() -> Pack:
    """The pack that ships."""
    return Pack(ROOT / "packs" / "tiny")


@pytest.fixture(scope="session")
def shipped(tmp_path_factory):
    """A network of `tiny` as ONNX. Exporting takes a minute; these were, before the tests began."""
    whole = tmp_path_factory.mktemp("shipped") / "controlnet.onnx"

    def path_of(network):
        exported = EXPORTED / network / "1" / build.ONNX_FILE
        if network != "controlnet":
            return exported
        if not whole.exists():
            onnx.save(_never_skipped(onnx.load(exported)), whole)
        return whole

    return path_of


def _never_skipped(model):
    """ControlNet as it was before `skip_where_unwanted`."""
    (choice,) = (node for node in model.graph.node if node.op_type == "If")
    (branch,) = (given.g for given in choice.attribute if given.name == "then_branch")
    for node in branch.node:
        for names in (node.input, node.output):
            names[:] = [name.removeprefix(COMPUTED) for name in names]
    given, made, weights = model.graph.input, model.graph.output, branch.initializer
    graph = make_graph(branch.node, model.graph.name, given, made, initializer=weights)
    made_anew = make_model(
        graph,
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
        functions=model.functions,
    )
    # A branch knows no types inside, as what is exported does.
    return onnx.shape_inference.infer_shapes(made_anew)


@pytest.fixture
def quick(monkeypatch):
    """Engines are made in no time and hold no network: for tests of what becomes of them."""

    def write(network, module, pack, path):
        path.write_bytes(b"engine")

    monkeypatch.setattr(build, "export_network", write)
    monkeypatch.setattr(build, "check_parity", lambda *given: Parity(1e-6))
    monkeypatch.setattr(latent_rgb, "fit", lambda vae: [[0.0] * 3] * 5)
