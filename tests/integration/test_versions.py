"""A second version of the UNet on the real Triton: beside the first, in its place, and back."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import onnx
import psutil
import pytest
from onnx import numpy_helper
from tritonclient.grpc import InferenceServerClient
from typer.testing import CliRunner

from drill import candidates
from maquette.cli.models import app
from maquette.client import CallFailed, Client
from pipeline import provenance
from pipeline.images import decode
from tests.exported import EXPORTED
from tests.integration.stack import live_stack, wait_until
from versions import aliases, manifest, operations
from versions.aliases import Aliases
from versions.errors import Busy

SECONDS = 90


@dataclass
class Versioned:
    """A running stack over a repository of its own, in which ``unet/3`` paints otherwise."""

    repository: Path
    incoming: Path
    stack: object
    client: Client

    def name(self, **named):
        """Let the aliases of the UNet be `named`, as a command does it."""
        with aliases.locked_for_writing(self.repository):
            aliases.write(self.repository, "unet", Aliases(**named))

    def serves(self, **expected):
        """Wait until exactly these versions of the UNet can be asked for."""
        wait_until(lambda: self.served() == expected, SECONDS)

    def served(self):
        return {alias: up["unet"] for alias, up in self.client.info().served_versions.items()}

    def render(self, sketch, **options):
        """The version of the UNet that a fixed render says it has, and its pixels."""
        result = self.client.render(
            sketch, "a house", style="cyberpunk", seed=4, num_inference_steps=2, **options
        )
        pixels = np.asarray(decode(result.images[0].png, "render"))
        return result.versions["unet"], pixels.tobytes()


@pytest.fixture(scope="module")
def versioned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("versions")
    repository = folder / "repository"
    shutil.copytree(EXPORTED, repository, ignore=shutil.ignore_patterns("aliases.json"))
    other_unet(repository)
    with (
        live_stack(
            folder / "state", "--repository", str(repository), incoming=folder / "incoming"
        ) as stack,
        Client(stack.address) as client,
    ):
        yield Versioned(repository, folder / "incoming", stack, client)


@pytest.fixture
def two(versioned, sketch):
    """The same, version 1 serving and 3 a candidate, and the pixels of both."""
    versioned.name(champion=1, candidate=3)
    versioned.serves(champion=1, candidate=3)
    one, other = versioned.render(sketch), versioned.render(sketch, versions="candidate")
    assert (one[0], other[0]) == (1, 3)
    assert one[1] != other[1]
    return versioned, one, other


def other_unet(repository):
    """A UNet whose last convolution is a little stronger."""
    shutil.copytree(repository / "unet" / "1", repository / "unet" / "3")
    path = repository / "unet" / "3" / "model.onnx"
    model = onnx.load(path)
    last = next(t for t in model.graph.initializer if t.name.endswith("conv_out.weight"))
    stronger = numpy_helper.to_array(last) * np.float32(1.1)
    last.CopyFrom(numpy_helper.from_array(stronger, last.name))
    path.unlink()
    onnx.save(model, path)


def test_a_version_takes_the_place_of_another_and_gives_it_back(two, sketch):
    versioned, one, other = two
    versioned.name(champion=3, previous=1)
    versioned.serves(champion=3, previous=1)
    assert versioned.render(sketch) == other
    assert versioned.render(sketch, versions="previous") == one
    versioned.name(champion=1, previous=3)
    versioned.serves(champion=1, previous=3)
    assert versioned.render(sketch) == one
    with pytest.raises(CallFailed, match="no candidate is served; there is: champion, previous"):
        versioned.render(sketch, versions="candidate")


def test_a_render_ends_with_the_versions_that_it_began_with(two, sketch):
    """Also when nothing names them any more while it is under way."""
    versioned, _, _ = two
    events = versioned.client.stream(
        sketch, "a house", style="cyberpunk", seed=4, num_inference_steps=2, versions="candidate",
    )  # fmt: skip
    assert next(e for e in events if hasattr(e, "images")).versions["unet"] == 3
    long = versioned.client.stream(
        sketch, "a house", style="cyberpunk", seed=4, num_inference_steps=30, versions="candidate",
    )  # fmt: skip
    next(e for e in long if getattr(e, "step", 0) == 1)
    versioned.name(champion=1)
    versioned.serves(champion=1)
    with pytest.raises(Busy, match="renders that began with it go on"):
        operations.retire(versioned.repository, "unet", 3, who="ada", dry_run=True)
    done = next(e for e in long if hasattr(e, "images"))
    assert done.versions["unet"] == 3
    # And what it held is let go once it has landed.
    wait_until(lambda: not is_loaded(versioned, "3"), SECONDS)
    operations.retire(versioned.repository, "unet", 3, who="ada", dry_run=True)


def test_an_engine_that_does_not_load_leaves_the_champion_where_it_is(two, sketch):
    versioned, one, _ = two
    broken = versioned.repository / "unet" / "4"
    shutil.copytree(versioned.repository / "unet" / "1", broken)
    (broken / "model.onnx").write_bytes(b"no engine")
    versioned.name(champion=1, candidate=4)
    wait_until(lambda: "candidate is not served" in versioned.client.info().problem, SECONDS)
    assert versioned.served() == {"champion": 1}
    assert versioned.render(sketch) == one
    versioned.name(champion=1)
    wait_until(lambda: not versioned.client.info().problem, SECONDS)
    shutil.rmtree(broken)


def test_what_was_exported_can_be_let_go(two, sketch):
    versioned, one, other = two
    versioned.name(champion=3)
    versioned.serves(champion=3)
    wait_until(lambda: not is_loaded(versioned, "1"), SECONDS)
    assert versioned.render(sketch) == other
    versioned.name(champion=1)
    versioned.serves(champion=1)
    assert versioned.render(sketch) == one


def test_a_triton_that_comes_back_serves_what_the_aliases_name(two, sketch):
    versioned, _, other = two
    versioned.name(champion=3, previous=1)
    versioned.serves(champion=3, previous=1)
    before = triton_of(versioned)
    os.kill(before.pid, signal.SIGKILL)
    wait_until(lambda: not before.is_running() or before.status() == "zombie", SECONDS)
    wait_until(lambda: renders(versioned, sketch, other), SECONDS)
    assert versioned.render(sketch) == other


def test_a_network_is_published_through_http_and_gated_by_the_command(
    versioned, sketch, tmp_path, http
):
    """From a folder that was set aside to the champion, on a gateway that is somewhere else."""
    versioned.name(champion=1)
    candidates.tinted(versioned.repository / "unet" / "1", versioned.incoming / "new")

    def changed(action, **body):
        answer = http.post(f"/v1/versions/unet/{action}", json=body)
        return answer.status_code, answer.json()

    answer = http.post("/v1/versions/unet/publish", json={"source": "new", "why": "a warmer sky"})
    *steps, change = [
        json.loads(line.removeprefix("data: "))
        for line in answer.text.splitlines()
        if line.startswith("data: ")
    ]
    version = change["version"]
    assert change["said"] == [f"unet {version} is published, and the candidate."]
    assert "trying unet" in {step["doing"] for step in steps}
    status, problem = changed("promote")
    assert (status, "has not been at its gate" in problem["detail"]) == (422, True)
    out = tmp_path / "gate"
    gated = CliRunner().invoke(app, [
        "gate", "unet", "--renders", "1", "--out", str(out), "--json",
        "--repository", str(versioned.repository), "--server", versioned.stack.address,
    ])  # fmt: skip
    assert gated.exit_code == 0, gated.output
    verdict = json.loads(gated.stdout)
    assert (verdict["passed"], verdict["missed"]) == (True, [])
    assert (verdict["pinned"]["unet"], verdict["champion"]["unet"]) == (version, 1)
    # By its pictures it is another one; measured are the engines as well.
    assert verdict["measures"]["perceptual_distance"] > 0
    assert 0.5 < verdict["measures"]["denoising_error_ratio"] < 1.25
    assert Path(verdict["report"]).is_relative_to(out)
    assert Path(verdict["report"]).with_name("sheet.png").stat().st_size > 10_000
    # One scene is too few to decide by, and the gateway reads that in the repository.
    status, problem = changed("promote")
    assert status == 422
    assert "compared 1 render; promote and canary ask for 8" in problem["detail"]
    status, promoted = changed("promote", force=True, why="one scene is enough here")
    assert (status, promoted["version"]) == (200, version)
    versioned.serves(champion=version, previous=1)
    done = http.get("/v1/versions/history", params={"model": "unet", "page_size": 3}).json()
    promoted, gated, _ = done["changes"]
    assert [each["action"] for each in done["changes"]] == ["promote", "gate", "publish"]
    assert (promoted["forced"], gated["passed"]) == (True, True)
    pack = provenance.read(versioned.client.render(
        sketch, "a house", style="cyberpunk", num_inference_steps=1
    ).images[0].png).pack  # fmt: skip
    made_of = manifest.read(versioned.repository / "unet" / str(version))
    assert (pack.versions["unet"], pack.engines["unet"]) == (version, made_of.mark)
    assert pack.engines.keys() == pack.versions.keys()
    assert changed("rollback")[0] == 200
    versioned.serves(champion=1, previous=version)


@pytest.fixture
def http(versioned):
    url = f"http://{versioned.stack.http_address}"
    with httpx.Client(base_url=url, timeout=SECONDS, trust_env=False) as client:
        yield client


def is_loaded(versioned, version):
    with InferenceServerClient(versioned.stack.triton_address) as client:
        return client.is_model_ready("unet", version)


def triton_of(versioned):
    return next(p for p in versioned.stack.processes() if p.name() == "tritonserver")


def renders(versioned, sketch, expected):
    try:
        return versioned.render(sketch) == expected
    except (CallFailed, psutil.Error):
        return False
