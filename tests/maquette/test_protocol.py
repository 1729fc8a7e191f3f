"""maquette.v1 keeps the field's rules, and its promises to those who call it already."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

BUF = Path(sys.executable).with_name("buf")
RELEASED = Path(__file__).parent / "released"
"""The protocol as callers know it; a release brings it up to date."""


def buf(*arguments):
    return subprocess.run([BUF, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_generated_code_is_that_of_the_proto(tmp_path):
    generate = [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=."]
    outputs = [f"--{kind}={tmp_path}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    subprocess.run([*generate, *outputs, "maquette/v1/maquette.proto"], check=True, cwd=ROOT)
    for made in (tmp_path / "maquette" / "v1").iterdir():
        assert made.read_text() == (ROOT / "maquette" / "v1" / made.name).read_text(), made.name


def test_the_proto_keeps_bufs_rules():
    linted = buf("lint")
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def test_nothing_that_callers_rely_on_has_changed(tmp_path):
    # Buf wants the other side outside of the project.
    released = shutil.copytree(RELEASED, tmp_path / "released")
    compared = buf("breaking", "--against", released)
    assert (compared.returncode, compared.stdout + compared.stderr) == (0, "")


@pytest.mark.parametrize(
    ("was", "is_now"),
    [("bytes sketch = 1;", "string sketch = 1;"), ("  rpc Render(", "  rpc Paint(")],
)
def test_a_breaking_change_would_be_seen(tmp_path, was, is_now):
    released = (RELEASED / "maquette/v1/maquette.proto").read_text()
    assert was in released
    (tmp_path / "maquette" / "v1").mkdir(parents=True)
    (tmp_path / "maquette" / "v1" / "maquette.proto").write_text(released.replace(was, is_now))
    assert buf("breaking", "--against", tmp_path).returncode != 0
