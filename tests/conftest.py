"""Pictures and checkpoints that many tests draw on.

What needs torch is imported where it is used: that takes seconds, and most tests do without.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.versions import object_store

ROOT = Path(__file__).resolve().parent.parent
LIVE = "tests/integration/"

# Commands look there for what `maquette up` runs, and tests are not to meet a user's.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="maquette-tests-")
# Two processes share two cores: threads of both, which wait for each other by turning, cost torch
# three times the work. It reads this when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# pytest-xdist fixes a width for its workers, which consoles made at an import would keep.
os.environ.pop("COLUMNS", None)


class Files(LoadScopeScheduling):
    """Hands out a file at a time, but what needs a running stack as one."""

    def _split_scope(self, nodeid):
        file = str(nodeid).split("::")[0]
        # A stack takes seconds to start. Two at work on two cores keep each other waiting for so
        # long that Triton counts as away.
        return LIVE if file.startswith(LIVE) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return Files(config, log)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 3 MB, where one can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def sketch() -> bytes:
    return (ROOT / "examples/sketches/town-house.png").read_bytes()


@pytest.fixture(scope="session")
def style_image() -> bytes:
    return (ROOT / "examples/styles/cyberpunk.png").read_bytes()


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Small random checkpoints in the published layouts."""
    from export.checkpoints.architectures import SMALL
    from export.checkpoints.random import write_checkpoints

    folder = tmp_path_factory.mktemp("checkpoints")
    write_checkpoints(folder, SMALL, seed=0, report=lambda _part: None)
    return folder


@pytest.fixture(scope="session")
def made_of(checkpoints):
    """What a pack is made of; arguments replace a part by another of the checkpoints."""
    from export.checkpoints import random
    from export.checkpoints.assemble import Checkpoints
    from export.checkpoints.hub import Source

    def make(**changed):
        names = {
            "base": random.BASE,
            "controlnet": random.CONTROLNET,
            "ip_adapter": f"{random.IP_ADAPTER}/ip-adapter_sd15.safetensors",
            "image_encoder": f"{random.IP_ADAPTER}/image_encoder",
            "clip": random.CLIP,
        } | changed
        safety_checker = names.pop("safety_checker", False)
        sources = {name: Source(checkpoints / path, str(path)) for name, path in names.items()}
        return Checkpoints(**sources, safety_checker=safety_checker)

    return make


@pytest.fixture(scope="session")
def assembled(made_of, tmp_path_factory):
    """A pack of these checkpoints; each is made once."""
    from export.checkpoints.architectures import SMALL
    from export.checkpoints.assemble import assemble

    folder = tmp_path_factory.mktemp("assembled")
    made = {}

    def make(**changed):
        key = str(sorted(changed.items()))
        if key not in made:
            target = folder / f"pack-{len(made)}"
            made[key] = assemble(made_of(**changed), target, lambda _doing: None, SMALL)
        return made[key]

    return make


@pytest.fixture(scope="session")
def store_server(tmp_path_factory):
    with object_store.running(tmp_path_factory.mktemp("store") / "server") as server:
        yield server


@pytest.fixture
def url(store_server, monkeypatch):
    """An empty place in a store."""
    for name, value in store_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{object_store.BUCKET}/{uuid.uuid4().hex}"
