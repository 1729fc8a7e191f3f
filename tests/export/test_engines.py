"""When an engine is built, skipped, refused; what a reader sees meanwhile."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from export import engines
from export.networks import wrap
from export.onnx import Parity, check_parity
from export.pack import NETWORK_FOLDERS, Pack, PackError
from pipeline import contract

NETWORK = "vae_encoder"
"""The quickest to export that has dynamic height and width."""


def bring_up_to_date(pack, folder, *, force=False):
    return engines._bring_up_to_date(NETWORK, pack, folder, force, folder / "finished")


@pytest.fixture(scope="module")
def built(pack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine") / "1"
    outcome = bring_up_to_date(pack, folder)
    assert outcome.built
    assert outcome.parity.passed
    return folder


def test_the_mark_of_a_finished_export_is_away_while_an_engine_is_replaced(
    pack, built, tmp_path, monkeypatch
):
    folder = shutil.copytree(built, tmp_path / "1")
    (folder / "finished").touch()
    bring_up_to_date(pack, folder)
    assert (folder / "finished").exists()
    monkeypatch.setattr(engines, "export_network", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bring_up_to_date(pack, folder, force=True)
    assert not (folder / "finished").exists()
    assert (folder / engines.ENGINE_FILE).exists()


def interrupt(*args):
    raise KeyboardInterrupt


def test_an_engine_comes_with_a_record_of_what_it_is(built):
    record = json.loads((built / engines.RECORD_FILE).read_text())
    assert record["network"] == NETWORK
    assert record["pack"] == "tiny"
    assert 0 < record["error"] <= record["tolerance"]
    assert not list(built.glob(".*"))


def test_an_engine_that_is_up_to_date_is_left_alone(pack, built):
    before = (built / engines.ENGINE_FILE).stat().st_mtime_ns
    outcome = bring_up_to_date(pack, built)
    assert not outcome.built
    assert outcome.parity.passed
    assert (built / engines.ENGINE_FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["record removed", "record cut short", "engine removed"])
def test_an_interrupted_export_is_built_again(pack, built, tmp_path, monkeypatch, damage):
    folder = shutil.copytree(built, tmp_path / "1")
    if damage == "record removed":
        (folder / engines.RECORD_FILE).unlink()
    elif damage == "record cut short":
        (folder / engines.RECORD_FILE).write_text('{"network": ')
    else:
        (folder / engines.ENGINE_FILE).unlink()
    rebuilt = []
    monkeypatch.setattr(engines, "_build", lambda *args: rebuilt.append(args))
    bring_up_to_date(pack, folder)
    assert rebuilt


def test_other_weights_or_another_library_make_another_fingerprint(pack, tmp_path, monkeypatch):
    folder = tmp_path / "tiny"
    shutil.copytree(pack.folder, folder)
    original = engines._fingerprint(NETWORK, pack)
    assert engines._fingerprint(NETWORK, Pack(folder)) == original
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert engines._fingerprint(NETWORK, Pack(folder)) != original
    monkeypatch.setattr(engines, "version", lambda package: "0.0")
    assert engines._fingerprint(NETWORK, pack) != original


def test_an_engine_that_disagrees_with_torch_is_never_installed(pack, built, tmp_path, monkeypatch):
    folder = shutil.copytree(built, tmp_path / "1")
    before = (folder / engines.ENGINE_FILE).read_bytes()
    monkeypatch.setattr(engines, "check_parity", lambda *args: Parity(error=0.5))
    outcome = bring_up_to_date(pack, folder, force=True)
    assert not outcome.parity.passed
    assert (folder / engines.ENGINE_FILE).read_bytes() == before
    assert not list(folder.glob(".*"))


def test_parity_fails_on_a_network_whose_weights_differ(pack, built):
    module = wrap(NETWORK, pack)
    same = check_parity(NETWORK, module, pack, built / engines.ENGINE_FILE)
    assert same.passed
    weight = module.vae.encoder.conv_in.weight.data
    weight.mul_(1.001)
    try:
        assert not check_parity(NETWORK, module, pack, built / engines.ENGINE_FILE).passed
    finally:
        weight.div_(1.001)


def test_a_difference_that_is_not_a_number_fails():
    assert not replace(Parity(0.0), error=float("inf")).passed
    assert not Parity(float("nan")).passed


def test_a_folder_that_is_no_pack_is_named_with_what_it_lacks(tmp_path):
    (tmp_path / "unet").mkdir()
    with pytest.raises(PackError, match="has no folder clip, controlnet, .*diffusers layout"):
        Pack(tmp_path)


def test_packs_whose_halves_disagree_are_refused(pack, tmp_path):
    folder = shutil.copytree(pack.folder, tmp_path / "tiny")
    file = folder / "clip" / "preprocessor_config.json"
    changed = {**json.loads(file.read_text()), "image_mean": [0.5, 0.5, 0.5]}
    file.write_text(json.dumps(changed))
    with pytest.raises(PackError, match="image_mean differs"):
        Pack(folder).preprocessor_config()
    (folder / "ip_adapter" / "second.safetensors").write_bytes(b"")
    with pytest.raises(PackError, match="one .safetensors file"):
        _ = Pack(folder).pipeline


def test_every_network_names_its_folders():
    assert set(NETWORK_FOLDERS) == {model.name for model in contract.NETWORKS}
