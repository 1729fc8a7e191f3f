from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.errors import Unavailable
from serving import installation
from tests.conftest import ROOT

SERVING_PYTHON = ROOT / ".venv" / "bin" / "python"


def in_serving(code):
    return subprocess.run(
        [SERVING_PYTHON, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_the_wheels_server_runs():
    code = "from serving.installation import find; print(find().binary)"
    binary = in_serving(code).stdout.strip()
    assert os.access(binary, os.X_OK)


@pytest.mark.parametrize("package", ["torch", "diffusers", "transformers", "onnx", "accelerate"])
def test_the_serving_environment_has_nothing_heavy(package):
    found = in_serving(f"import {package}")
    assert found.returncode == 1
    assert "ModuleNotFoundError" in found.stderr


def test_a_missing_server_is_said_with_the_remedy(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation.metadata, "distribution", absent)
    with pytest.raises(Unavailable, match="tritonserver is not installed.*make setup"):
        installation.find()


def test_a_python_without_a_stub_is_said_with_those_that_have_one(monkeypatch, tmp_path):
    for version in ("3.9", "3.10"):
        (tmp_path / "pytriton/tritonserver/python_backend_stubs" / version).mkdir(parents=True)

    class Wheel:
        @staticmethod
        def locate_file(path):
            return tmp_path / path

    monkeypatch.setattr(installation.metadata, "distribution", lambda name: Wheel)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(Unavailable, match=rf"does not run on Python {running}; .* 3.10, 3.9"):
        installation.find()


def test_triton_is_given_what_it_needs_and_no_secret(monkeypatch):
    needed = {"HOME": "/home/a", "LC_ALL": "C", "OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0"}
    secret = (
        "MAQUETTE_JWT_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "HTTPS_PROXY",
        "OTEL_EXPORTER_HEADERS",
    )
    for name, value in needed.items() | {(name, "secret") for name in secret}:
        monkeypatch.setenv(name, value)
    container = installation.Installation(Path("tritonserver"), None, None, ())
    found = container.environment(Path("link"))
    assert found.items() >= needed.items()
    assert found["PATH"].startswith(f"{Path(sys.executable).parent}:")
    assert "secret" not in found.values()
