"""How the stack starts, fails to start, and ends: nothing is ever left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from functools import partial
from pathlib import Path

import grpc
import httpx
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.grpc import InferenceServerClient

from maquette.client import CallFailed, Client
from maquette.v1 import maquette_pb2 as pb
from pipeline import contract
from serving.ports import free_port
from tests.amounts import sample
from tests.conftest import ROOT
from tests.exported import EXPORTED
from tests.integration.stack import MAQUETTE, live_stack, ready_models, stub_of, wait_until
from tests.integration.strangers import calling, entering, reached

REPOSITORY = EXPORTED


def up(tmp_path, *options):
    done = subprocess.run(
        [MAQUETTE, "up", "--state", tmp_path / "state", "--port", "0", *options],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def left_behind(folder):
    """Processes that run in `folder`, or whose command names it."""
    return [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline", "cwd"])
        if str(folder) in " ".join([process.info["cwd"] or "", *(process.info["cmdline"] or [])])
    ]


def test_health_and_reflection(live):
    with live.channel() as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "maquette.v1.MaquetteService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        services = ProtoReflectionDescriptorDatabase(channel).get_services()
        assert "maquette.v1.MaquetteService" in services


def checkout(folder):
    """This one at `folder`, made of links; its serving environment."""
    site = (MAQUETTE.parent.parent / "lib").glob("python*/site-packages")
    environment = folder / ".venv"
    (environment / "bin").mkdir(parents=True)
    for package in ROOT.glob("[a-z]*/__init__.py"):
        (folder / package.parent.name).symlink_to(package.parent)
    for name in ("python", "python3"):
        (environment / "bin" / name).symlink_to(MAQUETTE.with_name(name).resolve())
    shutil.copy(MAQUETTE.parent.parent / "pyvenv.cfg", environment)
    for path in next(site).iterdir():
        here = environment / path.relative_to(MAQUETTE.parent.parent)
        here.parent.mkdir(parents=True, exist_ok=True)
        if path.name.startswith("__editable__"):
            here.write_text(path.read_text().replace(str(ROOT), str(folder)))
        else:
            here.symlink_to(path)
    return environment


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    """A stack of folders with hard names, in a bare locale, at an IPv6 address, that wants keys and
    has secrets."""
    folder = tmp_path_factory.mktemp("anywhere")
    state = folder / "Büro 2 (neu) & 'mehr'; 家 $HOME"
    repository = shutil.copytree(REPOSITORY, folder / "Modelle (alt) & neu")
    options = ("--repository", str(repository), "--host", "::1")
    program = (checkout(folder / "Büro 2 (neu)") / "bin/python", "-m", "maquette")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_STATE_HOME", str(folder / "home"))
        environment.setenv("LC_ALL", "C")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "k" * 32)
        settings = {"auth": "required", "jwt_secret": "s" * 32, "jwt_audience": "maquette"}
        with live_stack(state, *options, program=program, **settings) as stack:
            yield stack


def test_where_it_is_and_that_it_asks_for_keys_hinders_nobody(anywhere, tmp_path, sketch):
    assert "added the 12 bundled styles" in anywhere.output.read_text()
    # The key that it made for itself is revoked.
    assert not json.loads((anywhere.state / "keys.json").read_text()).get("keys")
    address = f"[::1]:{anywhere.port}"
    with pytest.raises(CallFailed, match="maquette keys create"), Client(address) as stranger:
        stranger.info()

    def run(*arguments, **settings):
        return subprocess.run(
            [MAQUETTE, *arguments], capture_output=True, text=True, check=True, cwd=tmp_path,
            env={**os.environ, **settings, "COLUMNS": "400"},
        )  # fmt: skip

    made = run("keys", "create", "studio")
    assert f"{anywhere.state}/keys.json; the gateway at {address} reads it" in made.stderr
    # Nobody said where the gateway is.
    (tmp_path / "house.png").write_bytes(sketch)
    house = ("house.png", "a house", "--steps", "1")
    assert "wrote" in run("render", *house, MAQUETTE_API_KEY=made.stdout.strip()).stdout
    assert httpx.get(f"http://[::1]:{anywhere.http_port}/readyz", trust_env=False).is_success


def test_renders_are_served_without_torch(live):
    """Every Python process of the stack runs in the environment that has none."""
    for process in live.processes():
        loaded = {Path(region.path).name for region in process.memory_maps()}
        assert not [name for name in loaded if "torch" in name], process.cmdline()
    code = "import importlib.util as u; print([u.find_spec(n) for n in " + (
        "('torch', 'diffusers', 'transformers')])"
    )
    found = subprocess.run(
        [MAQUETTE.parent / "python", "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[None, None, None]"


def test_a_pack_without_a_safety_checker_has_none_loaded(live):
    """`live` serves the bundled pack."""
    with InferenceServerClient(live.triton_address) as client:
        needed = {model.name for model in contract.MODELS.values() if not model.optional}
        assert ready_models(client) == needed | {"denoiser_lcm"}
        assert not client.is_model_ready("check_image")


def shared_memory(stack):
    """Its regions; the link to the environment beside them leads to what everybody may read."""
    found = Path("/dev/shm").glob(f"maquette_{stack.process.pid}_*")
    return [region for region in found if not region.is_symlink()]


def test_triton_is_its_owners_only(live):
    """No port of it, a folder of sockets that nobody else enters, memory nobody else reads."""
    triton = triton_of(live)
    family = [triton, *triton.children(recursive=True)]
    ports = [socket for process in family for socket in process.net_connections(kind="inet")]
    assert [port for port in ports if port.status == psutil.CONN_LISTEN] == []
    assert stat.S_IMODE((live.state / "sockets").stat().st_mode) == 0o700
    assert len(list((live.state / "sockets").iterdir())) == 2
    regions = shared_memory(live)
    assert regions
    wait_until(lambda: {stat.S_IMODE(region.stat().st_mode) for region in regions} == {0o600}, 5)
    assert stat.S_IMODE((live.state / "triton.log").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_reaches_the_doors_and_nothing_else(live):
    """Also where the state folder was made for all to enter."""
    family = live.processes()
    regions = [*map(str, shared_memory(live))]
    # Of these it has no secret, and up.out is this test's own.
    plain = {"backends", "models", "up.out"}
    files = {path.name for path in live.state.iterdir()} - plain
    assert {"gateway.log", "library", "sockets", "triton.log"} <= files
    of_processes = [
        f"/proc/{process.pid}/{name}" for process in family for name in ("environ", "fd", "mem")
    ]
    closed = {path: entering(path) for path in [*files, *regions, *of_processes]}
    closed |= {f"sockets/{name}": calling(f"sockets/{name}") for name in ("grpc", "metrics")}
    closed |= {f"kill {each.pid}": partial(os.kill, each.pid, 0) for each in family}
    doors = {
        str(port): partial(socket.create_connection, ("127.0.0.1", port))
        for port in (live.port, live.http_port)
    }
    mode = stat.S_IMODE(live.state.stat().st_mode)
    live.state.chmod(0o755)
    try:
        found = reached(live.state, closed | doors)
    finally:
        live.state.chmod(mode)
    assert {found.pop(port) for port in doors} == {"done"}
    assert {name: what for name, what in found.items() if what != "PermissionError"} == {}


def test_triton_and_its_models_know_no_secret_of_the_gateway(anywhere):
    triton = triton_of(anywhere)
    for process in [triton, *triton.children(recursive=True)]:
        known = process.environ()
        assert not [name for name in known if name.startswith(("MAQUETTE_", "AWS_"))]
        assert "s" * 32 not in str(known) + str(process.cmdline())


def test_a_library_open_elsewhere_is_one_sentence(live, tmp_path):
    environment = {**os.environ, "MAQUETTE_LIBRARY": str(live.state / "library")}
    done = subprocess.run(
        [MAQUETTE, "up", "--state", tmp_path, "--port", "0"],
        capture_output=True, text=True, check=False, timeout=120, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "is open in another process. Stop that one" in said
    assert "Traceback" not in said
    assert left_behind(tmp_path) == []


def test_a_setting_that_is_wrong_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("MAQUETTE_MAX_RUNNING", "many")
    assert "MAQUETTE_MAX_RUNNING is 'many'" in up(tmp_path)
    assert left_behind(tmp_path) == []


def test_one_port_for_two_is_one_sentence(tmp_path):
    port = str(free_port())
    said = up(tmp_path, "--port", port, "--http-port", port)
    assert f"--port and --http-port are both {port}" in said


def test_a_state_folder_that_is_a_file_is_one_sentence(tmp_path):
    (tmp_path / "state").write_text("a file")
    assert "cannot be used" in up(tmp_path)


def test_a_folder_in_use_is_one_sentence_and_harms_nobody(live, stub, request_for, tmp_path):
    backends = sorted((live.state / "backends").rglob("*"))
    said = up(tmp_path, "--state", live.state)
    assert f"Another maquette runs with the folder {live.state}" in said
    assert sorted((live.state / "backends").rglob("*")) == backends
    assert stub.Render(request_for()).images


def test_a_taken_port_is_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = up(tmp_path, "--port", str(port))
    assert f"Port {port} on 127.0.0.1 is taken" in said
    assert "--port" in said


@pytest.fixture
def repository(tmp_path):
    """A copy of the model repository that may be broken."""
    return shutil.copytree(REPOSITORY, tmp_path / "repository")


def test_a_missing_engine_is_one_sentence(tmp_path, repository):
    (repository / "unet" / "1" / "model.onnx").unlink()
    said = up(tmp_path, "--repository", repository)
    assert "No engine for unet" in said
    assert "make export" in said


def test_a_broken_engine_is_one_sentence_and_nothing_is_left(tmp_path, repository):
    engine = repository / "canny" / "1" / "model.py"
    engine.write_text("raise ImportError('broken on purpose')\n")
    said = up(tmp_path, "--repository", repository)
    assert "model canny" in said
    assert "broken on purpose" in said
    assert "triton.log" in said
    assert left_behind(tmp_path) == []


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGKILL]


@pytest.mark.parametrize("number", sample(SIGNALS, {signal.SIGTERM, signal.SIGKILL}))
def test_whatever_ends_it_no_process_is_left(tmp_path, number):
    with live_stack(tmp_path) as stack:
        family = stack.processes()
        assert len(family) > 10
        stack.process.send_signal(number)
        stack.process.wait(30)
        _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert left_behind(tmp_path) == []
    if number != signal.SIGKILL:
        assert stack.process.returncode == 0
        assert "maquette is down" in stack.output.read_text()


def test_interrupted_while_starting_it_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [MAQUETTE, "up", "--state", tmp_path, "--port", "0"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    stub = "triton_python_backend_stub"
    wait_until(lambda: any(stub in command[0] for command in left_behind(tmp_path)), 60)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    wait_until(lambda: left_behind(tmp_path) == [], 30)


def triton_of(stack):
    """The tritonserver that runs now, if one does."""
    found = [process for process in stack.processes() if process.name() == "tritonserver"]
    return found[0] if found else None


def kill_triton(stack):
    triton_of(stack).kill()
    wait_until(lambda: "Triton ended (signal 9); starting it again" in stack.output.read_text(), 10)


def test_a_triton_that_cannot_come_back_ends_the_rest(tmp_path, repository):
    with live_stack(tmp_path / "state", "--repository", repository) as stack:
        family = stack.processes()
        (repository / "unet" / "1" / "model.onnx").unlink()
        kill_triton(stack)
        assert stack.process.wait(120) == 1
        assert not list(Path("/dev/shm").glob(f"maquette_{stack.process.pid}_*"))
        _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    last = stack.output.read_text().strip().splitlines()[-1]
    assert "Triton did not come up in 5 tries: No engine for unet" in last
    assert "Traceback" not in stack.output.read_text()
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize(
    "number", sample([signal.SIGINT, signal.SIGTERM, signal.SIGHUP], {signal.SIGTERM})
)
def test_interrupted_while_starting_triton_again_it_leaves_nothing(tmp_path, number):
    with live_stack(tmp_path) as stack:
        family = stack.processes()
        kill_triton(stack)
        if number != signal.SIGHUP:
            # Some of the new Triton's processes are there already, with memory that they share.
            wait_until(lambda: len(stack.processes()) > 5, 30)
            family += stack.processes()
        stack.process.send_signal(number)
        assert stack.process.wait(30) == 0
        assert not list(Path("/dev/shm").glob(f"maquette_{stack.process.pid}_*"))
        _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert "maquette is down" in stack.output.read_text()
    assert left_behind(tmp_path) == []


def test_a_gateway_without_triton_says_unavailable(tmp_path, sketch):
    port = free_port()
    environment = {
        **os.environ, "MAQUETTE_PORT": str(port), "MAQUETTE_TRITON": "127.0.0.1:9",
        "MAQUETTE_LIBRARY": str(tmp_path),
    }  # fmt: skip
    gateway = subprocess.Popen(
        [MAQUETTE.parent / "python", "-m", "gateway"], env=environment, cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=30)
            with pytest.raises(grpc.RpcError) as failed:
                stub_of(channel).Render(pb.RenderRequest(sketch=sketch, prompt="a house"))
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
            assert "Triton does not serve embed_text" in failed.value.details()
            status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert status.status == health_pb2.HealthCheckResponse.NOT_SERVING
    finally:
        gateway.terminate()
        assert gateway.wait(20) == 0
