from __future__ import annotations

import subprocess
import sys

from maquette.v1 import maquette_pb2 as pb
from tests.conftest import ROOT


def test_the_generated_code_is_that_of_the_proto(tmp_path):
    generate = [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=."]
    outputs = [f"--{kind}={tmp_path}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    subprocess.run([*generate, *outputs, "maquette/v1/maquette.proto"], check=True, cwd=ROOT)
    for made in (tmp_path / "maquette" / "v1").iterdir():
        assert made.read_text() == (ROOT / "maquette" / "v1" / made.name).read_text(), made.name


def test_names_follow_bufs_rules():
    service = pb.DESCRIPTOR.services_by_name["MaquetteService"]
    for method in service.methods:
        # Render and RenderStream ask for the same thing, so they share their request.
        assert method.input_type.name == f"{method.name.removesuffix('Stream')}Request"
        assert method.output_type.name == f"{method.name}Response"
