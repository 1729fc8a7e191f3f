"""Each config.pbtxt against the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from pipeline import contract
from pipeline.pinned_versions import EXPORTED

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
DTYPES = {"BYTES": "TYPE_STRING"}
NOT_EVERYWHERE = {model.needs for model in contract.MODELS.values() if model.optional}
BACKENDS = {"network": "onnxruntime", "python": "python", "ensemble": ""}


def config_of(name):
    text = (REPOSITORY / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def facts(tensor):
    return (tensor.name, DTYPES.get(tensor.dtype, f"TYPE_{tensor.dtype}"), tensor.dims)


def config_facts(tensor):
    return (tensor.name, model_config_pb2.DataType.Name(tensor.data_type), tuple(tensor.dims))


def test_the_repository_holds_exactly_the_contracts_models():
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    assert folders == set(contract.MODELS)


@pytest.mark.parametrize("model", contract.MODELS.values(), ids=lambda model: model.name)
def test_the_config_says_what_the_contract_says(model):
    config = config_of(model.name)
    assert config.name == model.name
    assert config.backend == BACKENDS[model.kind]
    assert config.max_batch_size == model.max_batch_size
    assert config.model_transaction_policy.decoupled == model.decoupled
    assert [config_facts(t) for t in config.input] == [facts(t) for t in model.inputs]
    assert [config_facts(t) for t in config.output] == [facts(t) for t in model.outputs]
    assert [t.optional for t in config.input] == [t.optional for t in model.inputs]


@pytest.mark.parametrize("model", contract.ENSEMBLES, ids=lambda model: model.name)
def test_an_ensembles_steps_name_tensors_that_exist(model):
    known = {tensor.name for tensor in model.inputs}
    for step in config_of(model.name).ensemble_scheduling.step:
        composing = contract.MODELS[step.model_name]
        assert set(step.input_map) == {tensor.name for tensor in composing.inputs}
        assert set(step.input_map.values()) <= known
        assert set(step.output_map) <= {tensor.name for tensor in composing.outputs}
        known |= set(step.output_map.values())
    assert {tensor.name for tensor in model.outputs} <= known


def test_an_ensemble_is_optional_where_a_step_is():
    """Triton would not start over one whose step it cannot load."""
    for model in contract.ENSEMBLES:
        steps = config_of(model.name).ensemble_scheduling.step
        needed = {contract.MODELS[step.model_name].needs for step in steps} - {""}
        needed |= {f"{step.model_name}/{step.model_version}" for step in steps} & NOT_EVERYWHERE
        assert needed == ({model.needs} - {""}), model.name


def test_ensembles_name_the_exported_versions():
    """And no others, so that a plain name always means them; the few steps' UNet is one of them."""
    for model in contract.ENSEMBLES:
        for step in config_of(model.name).ensemble_scheduling.step:
            second = (model.name, step.model_name) == ("denoiser_lcm", "unet")
            network = contract.MODELS[step.model_name].kind == "network"
            exported = contract.FEW_STEPS_VERSION if second else EXPORTED
            assert step.model_version == (exported if network else -1), model.name


def test_which_versions_triton_holds_is_for_the_aliases_to_say():
    for model in contract.NETWORKS:
        assert not config_of(model.name).HasField("version_policy")


def test_both_denoisers_are_the_same_but_for_that():
    one, other = (config_of(name) for name in ("denoiser", "denoiser_lcm"))
    other.name = one.name
    other.ensemble_scheduling.step[1].model_version = 1
    assert one == other


@pytest.mark.parametrize("model", contract.NETWORKS, ids=lambda model: model.name)
def test_networks_are_batched_across_requests(model):
    config = config_of(model.name)
    assert config.HasField("dynamic_batching")
    assert [group.count for group in config.instance_group] == [1]


def test_every_python_model_has_its_code():
    for model in contract.PYTHON_MODELS:
        assert (REPOSITORY / model.name / "1" / "model.py").exists()
