"""Engines that must never reach Triton: each is refused in one sentence, and leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import onnx
import pytest

from pipeline.topology import SD15
from tests.conftest import ROOT
from tests.versions import engines
from versions import aliases, history, manifest, operations, trial
from versions.catalogue import FINISHED, is_managed
from versions.errors import Declined

RANDOM = np.random.default_rng(5)


def corrupt(folder):
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) // 2])
    engines.describe(folder, "vae_decoder")


def other_file(folder):
    (folder / "model.onnx").write_text("<html>404</html>")
    engines.describe(folder, "vae_decoder")


def renamed_input(folder):
    model = engines.load(folder)
    model.graph.input[0].name = model.graph.node[0].input[0] = "latent"
    engines.save(model, folder, "vae_decoder")


def renamed_output(folder):
    model = engines.load(folder)
    model.graph.output[0].name = model.graph.node[0].output[0] = "image"
    engines.save(model, folder, "vae_decoder")


def more_inputs(folder):
    model = engines.load(folder)
    extra = onnx.helper.make_tensor_value_info("strength", onnx.TensorProto.FLOAT, ["batch", 1])
    model.graph.input.append(extra)
    engines.save(model, folder, "vae_decoder")


def other_channels(folder):
    model = engines.load(folder)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 16
    weights = np.zeros((16, 3, 8, 8), np.float32)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "weight"))
    engines.save(model, folder, "vae_decoder")


def other_dtype(folder):
    model = engines.load(folder)
    model.graph.node[0].input[0] = "cast"
    model.graph.node.insert(0, engines.node("Cast", "latents", "cast", to=onnx.TensorProto.FLOAT))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    engines.save(model, folder, "vae_decoder")


def other_factor(folder):
    engines.save(engines.vae_decoder(RANDOM, factor=4), folder, "vae_decoder")


def fixed_batch(folder):
    model = engines.load(folder)
    for tensor in (model.graph.input[0], model.graph.output[0]):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    engines.save(model, folder, "vae_decoder")


def nan_weight(folder):
    model = engines.load(folder)
    engines.change_weight(model, "weight", np.nan)
    engines.save(model, folder, "vae_decoder")


def infinite_weight(folder):
    model = engines.load(folder)
    engines.change_weight(model, "weight", np.inf)
    engines.save(model, folder, "vae_decoder")


def weights_outside(folder):
    """Beside the engine, as those of a large one."""
    model = engines.load(folder)
    engines.change_weight(model, "weight", np.nan)
    (folder / "model.onnx").unlink()
    options = {"save_as_external_data": True, "location": "model.onnx.data", "size_threshold": 0}
    onnx.save(model, folder / "model.onnx", **options)
    engines.describe(folder, "vae_decoder")


def overflowing(folder):
    """Finite weights, infinite pictures."""
    model = engines.load(folder)
    for tensor in model.graph.initializer:
        huge = np.full((4, 3, 8, 8), 3e38, np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(huge, tensor.name))
    engines.save(model, folder, "vae_decoder")


def random_numbers(folder):
    model = engines.load(folder)
    model.graph.node[0].output[0] = "calm"
    model.graph.node.extend(
        [
            engines.node("RandomNormalLike", "calm", "noise"),
            engines.node("Add", "calm noise", "pixels"),
        ]
    )
    engines.save(model, folder, "vae_decoder")


def half_copied(folder):
    whole = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(whole[: len(whole) // 2])


def not_copied(folder):
    (folder / "model.onnx").unlink()


def a_link(folder):
    (folder / "model.onnx").rename(folder.parent / "elsewhere.onnx")
    (folder / "model.onnx").symlink_to(folder.parent / "elsewhere.onnx")


def more_engines(folder):
    shutil.copy(folder / "model.onnx", folder / "model.onnx.data")


def no_manifest(folder):
    (folder / "manifest.json").unlink()


def cut_manifest(folder):
    (folder / "manifest.json").write_text('{"network": ')


def lies_about_the_file(folder):
    found = manifest.read(folder)
    manifest.write(folder, replace(found, files={"model.onnx": "0" * 64}))


def lies_about_the_network(folder):
    manifest.write(folder, replace(manifest.read(folder), network="unet"))


def lies_about_the_precision(folder):
    model = engines.vae_decoder(RANDOM, dtype=np.float16)
    model.graph.node[0].input[1] = "wide"
    cast = engines.node("Cast", "weight", "wide", to=onnx.TensorProto.FLOAT)
    model.graph.node.insert(0, cast)
    engines.save(model, folder, "vae_decoder")


def names_a_file_elsewhere(folder):
    manifest.write(
        folder, replace(manifest.read(folder), files={"model.onnx": "0", "elsewhere/x.onnx": "0"})
    )


def failed_parity(folder):
    manifest.write(folder, replace(manifest.read(folder), error=0.5))


def of_another_kind(folder):
    build = {"engine": "tensorrt", "precision": "fp16"}
    (folder / "model.onnx").rename(folder / "model.plan")
    engines.describe(folder, "vae_decoder", build=build)


BAD = {
    corrupt: "ONNX Runtime cannot load it",
    other_file: "ONNX Runtime cannot load it",
    renamed_input: "it has no input latents",
    renamed_output: "it has no output pixels",
    more_inputs: "it has an input strength, which the contract has not",
    other_channels: "its input latents has the sizes batch x 16 x",
    other_dtype: "its input latents is INT64, where the contract says FP32",
    other_factor: "has the sizes 1 x 3 x 64 x 96 where the champion's has 1 x 3 x 128 x 192",
    fixed_batch: "it cannot be run at batch 2",
    nan_weight: "its weights weight hold NaN or infinity",
    infinite_weight: "its weights weight hold NaN or infinity",
    weights_outside: "its weights weight hold NaN or infinity",
    overflowing: "its pixels holds NaN or infinity at batch 1",
    random_numbers: "other numbers when it is run again",
    half_copied: "model.onnx is not the file that its manifest names",
    not_copied: "has no file model.onnx, which its manifest names",
    a_link: "has no file model.onnx, which its manifest names",
    more_engines: "has model.onnx.data, which its manifest does not name",
    no_manifest: "has no manifest.json",
    cut_manifest: "manifest.json is not a manifest",
    lies_about_the_file: "model.onnx is not the file that its manifest names",
    lies_about_the_network: "holds an engine for unet, as its manifest says",
    lies_about_the_precision: "its manifest says fp32, and its weights are fp16",
    names_a_file_elsewhere: "files names 'elsewhere/x.onnx'",
    failed_parity: "error is 0.5, above tolerance",
    of_another_kind: "of kind tensorrt, fp16",
}


def snapshot_of(repository):
    return {
        path.relative_to(repository): path.read_bytes()
        for path in repository.rglob("*")
        if path.is_file() and not path.name.endswith(".lock")
    }


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_bad_engine_is_refused_in_one_sentence(repository, new, spoil):
    folder = new()
    spoil(folder)
    before = snapshot_of(repository)
    with pytest.raises(Declined) as refused:
        operations.publish(repository, "vae_decoder", folder, who="ada")
    sentence = str(refused.value)
    assert BAD[spoil] in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert snapshot_of(repository) == before
    assert not list(repository.rglob(".*.partial"))


@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_published_into_half_an_export(repository, new, dry_run):
    """No export could finish it afterwards, and nothing serves it as it is."""
    (repository / FINISHED).unlink()
    before = snapshot_of(repository)
    with pytest.raises(Declined, match=r"did not finish: .* Run the same `maquette export` again"):
        operations.publish(repository, "vae_decoder", new(), who="ada", dry_run=dry_run)
    assert snapshot_of(repository) == before
    assert not is_managed(repository)


@pytest.mark.parametrize("spoil", [nan_weight, half_copied, lies_about_the_network])
def test_a_dry_run_refuses_it_too(repository, new, spoil):
    folder = new()
    spoil(folder)
    with pytest.raises(Declined, match=BAD[spoil]):
        operations.publish(repository, "vae_decoder", folder, who="ada", dry_run=True)


def test_half_of_the_champion_is_not_taken_for_the_champion(repository, tmp_path):
    """Its manifest is the champion's, word for word."""
    folder = shutil.copytree(repository / "vae_decoder/1", tmp_path / "copy")
    half_copied(folder)
    with pytest.raises(Declined, match="is not the file that its manifest names"):
        operations.publish(repository, "vae_decoder", folder, who="ada")


def test_what_lies_there_already_is_tried_before_it_is_the_candidate(repository):
    """Somebody put it there by hand."""
    folder = shutil.copytree(repository / "vae_decoder/1", repository / "vae_decoder/2")
    nan_weight(folder)
    with pytest.raises(Declined, match="hold NaN or infinity"):
        operations.publish(repository, "vae_decoder", folder, who="ada")
    assert aliases.read(repository).of("vae_decoder").candidate is None


@pytest.mark.parametrize(
    ("network", "make", "words"),
    [
        ("unet", lambda: engines.unet(RANDOM, width=7), "it cannot be run at batch 1"),
        ("unet", lambda: engines.unet(RANDOM, channels=3), "it cannot be run at batch 1"),
        ("controlnet", lambda: engines.controlnet(RANDOM, 3), "its down_block_res_0 has"),
        ("text_encoder", lambda: engines.text_encoder(RANDOM, width=7), "its prompt_embeds has"),
    ],
)  # fmt: skip
def test_what_does_not_fit_its_neighbours_is_refused(repository, tmp_path, network, make, words):
    folder = tmp_path / "other"
    folder.mkdir()
    engines.save(make(), folder, network)
    with pytest.raises(Declined, match=words):
        operations.publish(repository, network, folder, who="ada")


def test_a_table_without_the_last_word_is_refused(repository, tmp_path):
    """Which few sentences have, so that it would fail long after it was promoted."""
    words = 100_000
    vocabulary = {"model": {"vocab": {"a": 0, "z": words - 1}}}
    engines.put(repository / "tokenizer/1/tokenizer.json", vocabulary)
    for folder, known in ((repository / "text_encoder/1", words), (tmp_path / "new", words - 1)):
        folder.mkdir(exist_ok=True)
        engines.save(engines.text_encoder(RANDOM, words=known), folder, "text_encoder")
    with pytest.raises(Declined, match="it cannot be run at batch 1"):
        operations.publish(repository, "text_encoder", tmp_path / "new", who="ada")


@pytest.mark.parametrize("network", sorted({*engines.MAKERS} - {"clip_text", "clip_image"}))
def test_one_that_fits_is_published(repository, new, network):
    outcome = operations.publish(repository, network, new(network), who="ada")
    assert outcome.changed
    assert manifest.verify(repository / network / str(outcome.version))
    assert aliases.read(repository).of(network).candidate == outcome.version


def test_the_unet_for_few_steps_is_no_candidate(repository, new):
    with pytest.raises(Declined, match="paints in few steps"):
        operations.publish(repository, "unet", new("unet", few_steps=True), who="ada")


def test_engines_for_a_gpu_are_checked_without_running_them(repository, new):
    """Their operators are none of a CPU's: manifest and weights alone tell."""
    build = {"engine": "onnx", "precision": "fp16"}
    champion = repository / "vae_decoder/1"
    engines.describe(champion, "vae_decoder", build=build)
    folder = new()
    lies_about_the_precision(folder)
    engines.describe(folder, "vae_decoder", build=build)
    outcome = operations.publish(repository, "vae_decoder", folder, who="ada")
    assert "A CPU cannot run engines of kind onnx, fp16" in outcome.said[-1]
    other = new(seed=2)
    engines.describe(other, "vae_decoder", build=build)
    with pytest.raises(Declined, match="its manifest says fp16, and its weights are fp32"):
        operations.publish(repository, "vae_decoder", other, who="ada")


def test_an_engine_that_takes_too_long_is_refused(repository, new):
    folder = new()
    tried = trial.EngineValidation("vae_decoder", str(folder / "model.onnx"), "fp32")
    with pytest.raises(Declined, match="was not done with its trial after 0.01 s"):
        trial.try_engine(tried, seconds=0.01)


def test_a_trial_ends_with_whoever_asked_for_it(repository, tmp_path):
    """A command that is killed says nothing. This one waits for a vocabulary that never comes."""
    vocabulary = tmp_path / "tokenizer.json"
    os.mkfifo(vocabulary)
    engine = str(repository / "text_encoder/1/model.onnx")
    champions = {"text_encoder": engine}
    asked = trial.EngineValidation("text_encoder", engine, "fp32", champions, str(vocabulary))
    reading, writing = os.pipe()
    words = [sys.executable, "-m", "versions.trial", json.dumps(asdict(asked)), str(reading)]
    with subprocess.Popen(words, cwd=ROOT, pass_fds=(reading,)) as child:
        os.close(reading)
        os.close(writing)
        try:
            assert child.wait(60) == 1
        finally:
            child.kill()


def test_a_champion_that_cannot_be_run_is_not_held_against_the_candidate(repository, new):
    (repository / "vae_decoder/1/model.onnx").write_text("damaged")
    with pytest.raises(trial.Unavailable, match="The champion of vae_decoder"):
        operations.publish(repository, "vae_decoder", new(), who="ada")
    assert history.read(repository) == []


def test_an_engine_is_held_against_the_repositorys_topology(repository, new):
    """Which need not be Stable Diffusion 1.5's."""
    file = repository / FINISHED
    facts = json.loads(file.read_text(encoding="utf-8"))
    topology = asdict(replace(SD15, latent_channels=8))
    file.write_text(json.dumps({**facts, "topology": topology}))
    with pytest.raises(Declined, match=r"its input latents has the sizes .* says batch x 8 x any"):
        operations.publish(repository, "vae_decoder", new(), who="ada")
