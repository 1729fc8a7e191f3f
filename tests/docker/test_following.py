"""The containers' parts over the real Triton: its start script, the gateway, and the commands.

Folders, ports and a Triton for CPUs stand in for what the compose file mounts; the rest is theirs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from export.configs import KINDS
from maquette.client import CallFailed, Client
from maquette.paths import MODEL_REPOSITORY
from serving import processes
from serving.launcher import BACKENDS, EXIT_SECONDS, SHARED_MEMORY
from serving.ports import free_port
from tests.docker.dockerfiles import ROOT, in_context
from tests.docker.test_compose import SERVICES
from tests.exported import EXPORTED
from tests.integration.stack import wait_until
from tests.versions.engines import describe
from versions import aliases
from versions.aliases import NAMES, Aliases

PYTHON = ROOT / ".venv/bin/python"
SECONDS = 120
MODEL = "vae_decoder"
KIND = KINDS["onnx"]
TRITON = """#!/usr/bin/env python
import os, sys
from pathlib import Path
from serving.installation import find

there = find()
own = ["--backend-directory=" + str(Path({state!r}) / there.backend_directory(Path({state!r})))]
own += ["--backend-config=" + name + ",shm-region-prefix-name={regions}" for name in {backends}]
link = Path("/dev/shm/{regions}python")
os.execve(there.binary, [there.binary, *sys.argv[1:], *own], there.environment(link))
"""
REGIONS = f"containers_{os.getpid()}_"
"""What the names of the shared memory begin with that a container has to itself."""


@dataclass
class Containers:
    """A running gateway beside the volume of engines, and the commands in its container."""

    engines: Path
    address: str
    client: Client

    def models(self, *arguments):
        """What ``docker compose exec gateway maquette models`` says, as JSON."""
        where = {"MAQUETTE_REPOSITORY": str(self.engines), "MAQUETTE_SERVER": self.address}
        done = subprocess.run(
            [PYTHON, "-m", "maquette", "models", *arguments, "--json"],
            check=False, capture_output=True, text=True, env=os.environ | where, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def served(self):
        """The version of `MODEL` behind each alias."""
        return {alias: up[MODEL] for alias, up in self.client.info().served_versions.items()}

    def held_to(self):
        """What Triton is held to of `MODEL`."""
        config = (self.engines / MODEL / "configs/served.pbtxt").read_text()
        return config.rpartition("versions: ")[2].partition(" }")[0]


@pytest.fixture(scope="module")
def containers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("containers")
    engines, triton_port, port = folder / "engines", free_port(), free_port()
    fill(engines, folder / "image")
    with ExitStack() as held:
        held.enter_context(triton(folder, triton_port))
        held.enter_context(gateway(folder, triton_port, port))
        client = held.enter_context(Client(f"127.0.0.1:{port}"))
        yield Containers(engines, f"127.0.0.1:{port}", client)


def fill(engines, image):
    """Version 2 of `MODEL` was promoted before; the image has what a build would give it."""
    shutil.copytree(EXPORTED, engines, ignore=shutil.ignore_patterns("aliases.json", ".*"))
    for path in MODEL_REPOSITORY.rglob("*"):
        place = path.relative_to(MODEL_REPOSITORY)
        if path.is_file() and in_context(path.relative_to(ROOT).as_posix()):
            (image / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, image / place)
    # The configs that the exporter wrote are for a GPU.
    for config in engines.glob(f"*/configs/{KIND}.pbtxt"):
        shutil.copy(config.parent.parent / "config.pbtxt", config)
    strengthen(engines, engines / MODEL / "2", 1.1)
    aliases.write(engines, MODEL, Aliases(champion=2, previous=1))


def strengthen(engines, folder, factor):
    """An engine that paints otherwise than the exported one, with a manifest."""
    folder.mkdir(parents=True)
    model = onnx.load(engines / MODEL / "1/model.onnx")
    last = next(t for t in model.graph.initializer if t.name.endswith("conv_out.weight"))
    stronger = (numpy_helper.to_array(last) * factor).astype("float32")
    last.CopyFrom(numpy_helper.from_array(stronger, last.name))
    onnx.save(model, folder / "model.onnx")
    describe(folder, MODEL)


@contextmanager
def triton(folder, port):
    """serve.sh, as in the image."""
    program = folder / "bin/tritonserver"
    program.parent.mkdir()
    program.write_text(TRITON.format(state=str(folder), regions=REGIONS, backends=BACKENDS))
    program.chmod(0o755)
    script = (ROOT / "docker/serve.sh").read_text(encoding="utf-8")
    places = {
        "/opt/model_repository": folder / "image", "/repository": folder / "engines",
        "=8001": f"={port}", "=8000": f"={free_port()}", "=8002": f"={free_port()}",
        # Now and then a model of Triton's does not end, and all of this is waited for.
        "timeout-secs=20": f"timeout-secs={EXIT_SECONDS}",
    }  # fmt: skip
    for there, here in places.items():
        assert there in script
        script = script.replace(there, str(here))
    path = f"{program.parent}:{PYTHON.parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}
    process = processes.start(["sh", "-c", script], folder / "triton.log", environment)
    try:
        yield
    finally:
        processes.stop(process)
        for region in SHARED_MEMORY.glob(f"{REGIONS}*"):
            region.unlink()


@contextmanager
def gateway(folder, triton_port, port):
    """The gateway with what the compose file tells it of versions and of Triton."""
    told = SERVICES["gateway"]["environment"]
    environment = os.environ | {
        "MAQUETTE_REPOSITORY": told["MAQUETTE_REPOSITORY"].replace(
            "/repository", str(folder / "engines")
        ),
        "MAQUETTE_TRITON": told["MAQUETTE_TRITON"].replace(
            "triton:8001", f"127.0.0.1:{triton_port}"
        ),
        "MAQUETTE_LIBRARY": str(folder / "library"),
        "MAQUETTE_PORT": str(port),
        "MAQUETTE_HTTP_PORT": "0",
    }
    log = folder / "gateway.log"
    process = processes.start([PYTHON, "-m", "gateway"], log, environment)
    try:
        wait_until(lambda: serves(port) or process.poll() is not None, SECONDS)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        processes.stop(process)


def serves(port):
    try:
        with Client(f"127.0.0.1:{port}") as client:
            return bool(client.info().served_versions)
    except CallFailed:
        return False


def test_a_container_that_starts_and_commands_that_change_versions_are_followed(
    containers, sketch, style_image, tmp_path
):
    wait_until(lambda: containers.served() == {"champion": 2, "previous": 1}, SECONDS)
    assert containers.held_to() == "[1, 2]"
    strengthen(containers.engines, tmp_path / "exported", 1.2)
    published = containers.models("publish", MODEL, str(tmp_path / "exported"))
    assert (published["version"], published["gateway_serves"]) == (3, True)
    assert containers.held_to() == "[1, 2, 3]"
    options = {"style_images": [style_image], "seed": 4, "num_inference_steps": 2}
    made = {}
    for alias in NAMES:
        result = containers.client.render(sketch, "a house", versions=alias, **options)
        made[result.versions[MODEL]] = result.images[0].png
    assert sorted(made) == [1, 2, 3]
    assert len(set(made.values())) == 3
    promoted = containers.models("promote", MODEL, "--force", "--why", "to see it followed")
    assert promoted["gateway_serves"] is True
    assert containers.served() == {"champion": 3, "previous": 2}
    result = containers.client.render(sketch, "a house", **options)
    assert (result.versions[MODEL], result.images[0].png) == (3, made[3])
    assert [entry["version"] for entry in containers.models("list", MODEL)] == [1, 2, 3]
