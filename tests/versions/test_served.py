from __future__ import annotations

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from pipeline import contract, pinned_versions
from tests.conftest import ROOT
from versions import aliases, served
from versions.aliases import CLIP, VERSIONED, Aliases


@pytest.fixture
def repository(tmp_path):
    """Configs as they are written by hand, and an engine of version 1 of each network."""
    for model in contract.NETWORKS:
        (tmp_path / model.name / "1").mkdir(parents=True)
        (tmp_path / model.name / "1" / "model.onnx").touch()
        text = (ROOT / "model_repository" / model.name / "config.pbtxt").read_text()
        (tmp_path / model.name / "config.pbtxt").write_text(text)
    return tmp_path


def engine(repository, name, file="model.onnx"):
    (repository / name).mkdir(parents=True, exist_ok=True)
    (repository / name / file).touch()


def parsed(path):
    return text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())


def held_to(repository, network):
    config = parsed(repository / network / "configs" / "served.pbtxt")
    return list(config.version_policy.specific.versions)


@pytest.mark.parametrize("file", ["model.onnx", "model.plan"])
@pytest.mark.parametrize(
    ("needed", "models"),
    [("unet/2", {"denoiser_lcm"}), ("safety_checker/1", {"safety_checker", "check_image"})],
)
def test_what_not_every_pack_has_is_served_where_its_engine_is(tmp_path, needed, models, file):
    always = {model.name for model in contract.MODELS.values() if not model.optional}
    assert set(served.models_of(tmp_path)) == always
    engine(tmp_path, needed, file)
    assert set(served.models_of(tmp_path)) == always | models


def test_a_version_that_no_alias_names_is_not_loaded(repository):
    engine(repository, "unet/2")
    engine(repository, "unet/3")
    engine(repository, "controlnet/2")
    served.prepare(repository)
    assert held_to(repository, "unet") == [1, 2]
    assert held_to(repository, "controlnet") == [1]


def test_triton_starts_with_what_the_aliases_name(repository):
    for name in ("unet/2", "unet/3", "unet/4"):
        engine(repository, name)
    aliases.write(repository, "unet", Aliases(champion=3, candidate=4, previous=1))
    assert "denoiser" in served.prepare(repository)
    # A candidate that does not load must not keep Triton from starting.
    assert held_to(repository, "unet") == [1, 2, 3]
    aliases.write(repository, "unet", Aliases(champion=4, previous=3))
    # An ensemble whose version is not there would keep Triton from starting.
    assert not {"denoiser", "denoiser_lcm", "condition"} & set(served.prepare(repository))
    assert held_to(repository, "unet") == [2, 3, 4]


def test_the_pair_that_embeds_has_ensembles_of_its_own(repository):
    for name in CLIP:
        engine(repository, f"{name}/2")
        aliases.write(repository, name, Aliases(champion=2))
    models = served.prepare(repository)
    assert {"condition", "denoiser"} <= set(models)
    assert not {"embed_text", "embed_image"} & set(models)


def test_an_alias_of_what_is_gone_does_not_keep_triton_from_starting(repository):
    aliases.write(repository, "unet", Aliases(champion=1, previous=7))
    served.prepare(repository)
    assert held_to(repository, "unet") == [1]


def test_the_rest_of_the_config_stays_as_it_is(repository):
    served.prepare(repository)
    served.prepare(repository)
    for network in VERSIONED:
        written, kept = (
            parsed(repository / network / path) for path in ("config.pbtxt", "configs/served.pbtxt")
        )
        kept.ClearField("version_policy")
        assert kept == written


def test_on_a_gpu_the_exporters_config_is_held_to_the_versions(repository):
    for network in VERSIONED:
        (repository / network / "configs").mkdir()
        gpu = repository / network / "configs" / "tensorrt.pbtxt"
        gpu.write_text(f'name: "{network}"\nbackend: "tensorrt"\n')
    served.prepare(repository, "tensorrt")
    assert held_to(repository, "unet") == [1]
    assert 'backend: "tensorrt"' in (repository / "unet/configs/served.pbtxt").read_text()


def test_every_network_of_a_line_up_can_have_versions():
    assert set(VERSIONED) == {*pinned_versions.NETWORKS, *CLIP}
    assert set(VERSIONED) <= {model.name for model in contract.NETWORKS}
