"""When an engine is built, skipped, refused; what a reader sees meanwhile."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from export import build, engines
from export.asked import Build
from export.networks import wrap
from export.onnx import Parity, check_parity
from export.pack import Pack
from export.pack_files import NETWORK_FOLDERS
from pipeline import contract
from versions import manifest
from versions.catalogue import FINISHED

NETWORK = "vae_encoder"
"""The quickest to export that has dynamic height and width."""


def bring_up_to_date(pack, repository, *, force=False):
    return engines._bring_up_to_date(NETWORK, pack, repository, Build(), force)


@pytest.fixture(scope="module")
def built(pack, tmp_path_factory):
    """A repository with the one engine in it."""
    repository = tmp_path_factory.mktemp("repository")
    (repository / FINISHED).parent.mkdir(parents=True)
    outcome = bring_up_to_date(pack, repository)
    assert outcome.built
    assert outcome.parity.passed
    return repository


@pytest.fixture
def repository(built, tmp_path):
    return shutil.copytree(built, tmp_path / "repository")


def folder(repository):
    return repository / NETWORK / engines.VERSION


def engine(repository):
    return folder(repository) / build.ONNX_FILE


def interrupt(*args):
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["wrap", "export_network", "check_parity"])
def test_interrupted_at_any_step_the_old_engine_stays_and_nothing_is_served(
    pack, repository, quick, monkeypatch, step
):
    (repository / FINISHED).touch()
    before = engine(repository).read_bytes()
    monkeypatch.setattr(build, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        bring_up_to_date(pack, repository, force=True)
    assert not (repository / FINISHED).exists()
    assert engine(repository).read_bytes() == before
    assert [path.name for path in folder(repository).parent.iterdir()] == [engines.VERSION]


def test_killed_while_writing_what_lies_about_is_no_engine(pack, repository, quick, monkeypatch):
    """After SIGKILL nothing was tidied up: a part of an engine, aside, and no version folder."""
    aside = folder(repository).rename(folder(repository).with_name(".1.partial"))
    engine_part = aside / build.ONNX_FILE
    engine_part.write_bytes(engine_part.read_bytes()[:1000])
    outcome = bring_up_to_date(pack, repository)
    assert outcome.built
    assert outcome.parity.passed
    assert [path.name for path in folder(repository).parent.iterdir()] == [engines.VERSION]


def test_an_engine_comes_with_a_manifest_of_what_it_is(pack, built):
    record = manifest.verify(folder(built))
    assert (record.network, record.pack, record.few_steps) == (NETWORK, "tiny", False)
    assert 0 < record.error <= record.tolerance
    assert record.build == {"engine": "onnx", "precision": "fp32"}
    assert record.revision == pack.digest(NETWORK)
    assert list(record.files) == [build.ONNX_FILE]
    assert {"maquette", "torch", "onnxruntime"} <= set(record.libraries)


@pytest.mark.parametrize(
    ("facts", "licence"),
    [
        ({}, ""),
        ({"licence": "mine"}, "mine"),
        (
            {
                "sources": {
                    "vae": {"licence": "mit", "files": {"vae/config.json": {}}},
                    "unet": {"licence": "other", "files": {"unet/config.json": {}}},
                }
            },
            "mit",
        ),
    ],
)
def test_the_licence_is_that_of_the_parts_it_is_made_of(pack, tmp_path, facts, licence):
    folder = shutil.copytree(pack.folder, tmp_path / "tiny")
    (folder / "pack.json").write_text(json.dumps(facts))
    assert engines._licence(NETWORK, Pack(folder)) == licence


def test_an_engine_that_is_up_to_date_is_left_alone(pack, built):
    before = engine(built).stat().st_mtime_ns
    outcome = bring_up_to_date(pack, built)
    assert not outcome.built
    assert outcome.parity.passed
    assert engine(built).stat().st_mtime_ns == before


def test_another_kind_of_engine_is_built(pack, repository, monkeypatch):
    built = []
    monkeypatch.setattr(engines, "_build", lambda *args: built.append(args))
    engines._bring_up_to_date(NETWORK, pack, repository, Build(precision="fp16"), False)
    assert built


@pytest.mark.parametrize("damage", ["manifest removed", "manifest cut short", "engine removed"])
def test_a_damaged_engine_is_built_again(pack, repository, monkeypatch, damage):
    record = folder(repository) / manifest.FILE
    if damage == "manifest removed":
        record.unlink()
    elif damage == "manifest cut short":
        record.write_text('{"network": ')
    else:
        engine(repository).unlink()
    rebuilt = []
    monkeypatch.setattr(engines, "_build", lambda *args: rebuilt.append(args))
    bring_up_to_date(pack, repository)
    assert rebuilt


def test_other_weights_or_another_library_make_another_fingerprint(pack, tmp_path, monkeypatch):
    folder = tmp_path / "tiny"
    shutil.copytree(pack.folder, folder)
    original = engines.fingerprint_of(NETWORK, pack, Build())
    assert engines.fingerprint_of(NETWORK, Pack(folder), Build()) == original
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert engines.fingerprint_of(NETWORK, Pack(folder), Build()) != original
    monkeypatch.setattr(engines, "version", lambda package: "0.0")
    assert engines.fingerprint_of(NETWORK, pack, Build()) != original


def test_an_engine_that_disagrees_with_torch_is_never_installed(
    pack, repository, quick, monkeypatch
):
    before = engine(repository).read_bytes()
    monkeypatch.setattr(build, "check_parity", lambda *args: Parity(error=0.5))
    outcome = bring_up_to_date(pack, repository, force=True)
    assert not outcome.parity.passed
    assert engine(repository).read_bytes() == before
    assert [path.name for path in folder(repository).parent.iterdir()] == [engines.VERSION]


def test_parity_fails_on_a_network_whose_weights_differ(pack, built):
    module = wrap(NETWORK, pack)
    same = check_parity(NETWORK, module, pack, engine(built))
    assert same.passed
    weight = module.vae.encoder.conv_in.weight.data
    weight.mul_(1.001)
    try:
        assert not check_parity(NETWORK, module, pack, engine(built)).passed
    finally:
        weight.div_(1.001)


def test_a_difference_that_is_not_a_number_fails():
    assert not replace(Parity(0.0), error=float("inf")).passed
    assert not Parity(float("nan")).passed


def test_a_repository_of_the_users_own_gets_the_static_files_and_no_engines(tmp_path):
    engines.prepare(tmp_path / "repository")
    names = {path.name for path in (tmp_path / "repository").rglob("*") if path.is_file()}
    assert names == {"config.pbtxt", "model.py", "README"}


def test_what_is_served_here_is_not_taken_along(tmp_path, monkeypatch):
    engines.prepare(tmp_path / "static")
    before = {path for path in (tmp_path / "static").rglob("*") if path.is_file()}
    (tmp_path / "static/unet/3").mkdir(parents=True)
    for name in ("history.jsonl", "canary.json", ".lock", "unet/aliases.json", "unet/3/model.onnx"):
        (tmp_path / "static" / name).touch()
    monkeypatch.setattr(engines, "BUNDLED_MODELS", tmp_path / "static")
    engines.prepare(tmp_path / "own")
    copied = {path for path in (tmp_path / "own").rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path / "own") for path in copied} == {
        path.relative_to(tmp_path / "static") for path in before
    }


def test_every_network_names_its_folders():
    assert set(NETWORK_FOLDERS) == {model.name for model in contract.NETWORKS}
