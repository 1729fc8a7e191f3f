from __future__ import annotations

import json
import stat
import subprocess
import uuid

import pytest

from pipeline import contract
from pipeline.errors import Unavailable
from serving import launcher


def test_missing_engines_are_named_before_triton_is_started(tmp_path):
    with pytest.raises(Unavailable, match="No engine for text_encoder, .*unet.*make export"):
        launcher.start(tmp_path, tmp_path / "state")
    assert not (tmp_path / "state").exists()


def engines(repository, *names):
    for name in names:
        (repository / name).mkdir(parents=True)
        (repository / name / "model.onnx").touch()


def test_another_version_does_not_stand_in_for_the_one_that_renders_take(tmp_path):
    networks = [f"{model.name}/1" for model in contract.NETWORKS if not model.optional]
    engines(tmp_path, "unet/2", *(name for name in networks if name != "unet/1"))
    with pytest.raises(Unavailable, match="No engine for unet in"):
        launcher.require_engines(tmp_path)


def test_no_export_is_advised_where_it_would_be_refused(tmp_path):
    engines(tmp_path, "unet/3")
    with pytest.raises(Unavailable, match="versions are managed, .* restore the files") as said:
        launcher.require_engines(tmp_path)
    assert "make export" not in str(said.value)


LOG = r"""I1120 13:51:54.061713 5743 x.cc:839] "successfully loaded 'canny'"
E1120 13:51:51.725699 5743 server.cc:241] "CudaDriverHelper has not been initialized."
E1120 13:51:58.9 5743 x.cc:642] "failed to load 'unet' version 1: Internal: Bad file\n\nAt:\n"
I1120 13:51:59.061713 5743 x.cc:839] "successfully loaded 'render'"
"""


def test_the_log_tells_the_progress_and_the_reason(tmp_path):
    log = tmp_path / "triton.log"
    log.write_text(LOG)
    assert launcher._loaded_models(log) == 2
    assert launcher._reason(log).startswith("model unet: Internal: Bad file (log: ")


@pytest.mark.parametrize(
    ("file", "kind"),
    [("model.onnx", ("onnx", "fp16")), ("model.plan", ("tensorrt", "fp16"))],
)
def test_engines_for_a_gpu_are_not_served_on_a_cpu(tmp_path, file, kind):
    for model in contract.NETWORKS:
        (tmp_path / model.name / "1").mkdir(parents=True)
        (tmp_path / model.name / "1" / file).touch()
    (tmp_path / "render" / "1").mkdir(parents=True)
    facts = tmp_path / "render" / "1" / "pack.json"
    facts.write_text(json.dumps(dict(zip(("engine", "precision"), kind, strict=True))))
    with pytest.raises(Unavailable, match=rf"for a GPU \({', '.join(kind)}\).*make up-gpu"):
        launcher.require_engines(tmp_path)
    facts.write_text(json.dumps({"engine": "onnx", "precision": "fp32"}))
    launcher.require_engines(tmp_path)


@pytest.fixture
def triton(tmp_path):
    """One that has ended, with a region of its shared memory and the link to its environment."""
    prefix = f"maquette_test_{uuid.uuid4().hex[:8]}_"
    region = launcher.SHARED_MEMORY / f"{prefix}region"
    region.touch(mode=0o644)
    environment = tmp_path / "environment"
    environment.mkdir(mode=0o755)
    (launcher.SHARED_MEMORY / f"{prefix}python").symlink_to(environment)
    process = subprocess.Popen(["true"])
    process.wait()
    made = launcher.Triton(process, "localhost:1", tmp_path / "log", prefix)
    yield made, region, environment
    made.stop()


def test_memory_is_hidden_from_others_and_the_environment_stays_as_it_is(triton):
    made, region, environment = triton
    made.hide_memory()
    assert stat.S_IMODE(region.stat().st_mode) == 0o600
    assert stat.S_IMODE(environment.stat().st_mode) == 0o755


def test_a_stopped_server_takes_its_memory_back_and_no_environment(triton):
    made, region, environment = triton
    made.stop()
    assert not region.exists()
    assert not list(launcher.SHARED_MEMORY.glob(f"{made.region_prefix}*"))
    assert environment.is_dir()
