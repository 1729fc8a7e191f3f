"""Whatever process dies, service comes back by itself, and nobody hangs."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import InferenceServerClient

from maquette.v1 import maquette_pb2 as pb
from pipeline import contract
from tests.amounts import sample
from tests.integration.stack import live_stack, stub_of, wait_until

BACK_SECONDS = 30
"""What is promised is 10, on a machine with nothing else to do."""
HANG_SECONDS = 60
PATIENCE = 15
"""With what stands still."""
SERVING = health_pb2.HealthCheckResponse.SERVING

MODELS = [
    model.name
    for model in contract.MODELS.values()
    if model.kind != "ensemble" and not model.optional
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A stack of its own, which is hurt and heals; nothing of it is left at the end."""
    with live_stack(tmp_path_factory.mktemp("hurt"), hang_seconds=PATIENCE) as stack:
        yield stack
        family = stack.processes()
        stack.process.terminate()
        assert stack.process.wait(60) == 0
        _, alive = psutil.wait_procs(family, timeout=30)
        assert alive == []
        assert not list(Path("/dev/shm").glob(f"maquette_{stack.process.pid}_*"))


def stubs(stack):
    """Triton's Python processes by model; a model of several versions has one for each."""
    found = defaultdict(list)
    for process in stack.processes():
        # One that ends between being listed and looked at is no longer a model's.
        with suppress(psutil.NoSuchProcess):
            if process.name().startswith("triton_python") and is_alive(process):
                name = re.search(r" (\w+)_0_0 ", " ".join(process.cmdline()))
                if name:
                    found[name[1]].append(process)
    return found


def is_alive(process):
    return process.status() != psutil.STATUS_ZOMBIE


def has_ended(process):
    try:
        return not is_alive(process)
    except psutil.NoSuchProcess:
        return True


def kill_model(stack, model):
    processes = stubs(stack)[model]
    assert processes
    for process in processes:
        process.kill()


def triton_of(stack):
    return next(process for process in stack.processes() if process.name() == "tritonserver")


def gateway_of(stack):
    return next(process for process in stack.processes() if "gateway" in process.cmdline())


def health(channel):
    try:
        return health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=5
        ).status  # fmt: skip
    except grpc.RpcError as error:
        return error.code()


class Clients:
    """Callers who try again when they are told UNAVAILABLE, and what became of each call."""

    def __init__(self, stack, calls):
        self.stack, self.calls = stack, calls
        self.done = [0.0] * len(calls)
        """When the last call of each kind that succeeded had begun."""
        self.failed = []
        self.stopping = threading.Event()

    def repeat(self, kind):
        with self.stack.channel() as channel:
            stub = stub_of(channel)
            while not self.stopping.is_set():
                began = time.monotonic()
                try:
                    self.calls[kind](stub)
                    self.done[kind] = began
                except grpc.RpcError as error:
                    self.failed.append(error)
                    self.stopping.wait(0.2)

    @contextmanager
    def calling(self):
        threads = [
            threading.Thread(target=self.repeat, args=(kind,)) for kind in range(len(self.calls))
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            for thread in threads:
                thread.join(2 * HANG_SECONDS)
            assert not any(thread.is_alive() for thread in threads)

    def wait_for_success(self):
        """Until a call of each kind that begins from now on has succeeded."""
        now = time.monotonic()
        wait_until(lambda: min(self.done) > now, BACK_SECONDS)

    def require_clear_failures(self):
        for error in self.failed:
            assert error.code() is grpc.StatusCode.UNAVAILABLE, error
            assert "Traceback" not in (error.details() or "")


@pytest.fixture
def clients(stack, request_for, style_image):
    """Three who render, one who searches and one who adds a style, on `stack`."""
    request = request_for(num_inference_steps=1, width=128, height=128)

    def render(stub):
        assert stub.Render(request, timeout=HANG_SECONDS).images

    def search(stub):
        wanted = pb.SearchStylesRequest(prompt="a house", limit=1)
        assert stub.SearchStyles(wanted, timeout=HANG_SECONDS).styles

    def add(stub):
        wanted = pb.AddStyleRequest(image=style_image, name="added under load")
        assert stub.AddStyle(wanted, timeout=HANG_SECONDS).style.id

    return Clients(stack, [render, render, render, search, add])


def styles_of(stack):
    with stack.channel() as channel:
        return {style.id for style in stub_of(channel).ListStyles(pb.ListStylesRequest()).styles}


def hurt(stack, clients, kill):
    """Kill something under load, and wait until all is well."""
    before = styles_of(stack)
    with clients.calling():
        clients.wait_for_success()
        kill()
        clients.wait_for_success()
        with stack.channel() as channel:
            wait_until(lambda: health(channel) == SERVING, BACK_SECONDS)
    clients.require_clear_failures()
    assert before
    assert styles_of(stack) >= before


@pytest.mark.parametrize("model", sample(MODELS, {"render", "unet", "tokenizer"}))
def test_a_models_process_that_dies_under_load(stack, clients, model):
    triton = triton_of(stack)
    hurt(stack, clients, partial(kill_model, stack, model))
    assert triton_of(stack).pid == triton.pid


@pytest.mark.parametrize("model", sample(["unet", "text_encoder"], {"text_encoder"}))
def test_a_models_process_that_dies_unused_is_back_before_anyone_calls(stack, model):
    """Here only the probe can find out."""
    with stack.channel() as channel:
        kill_model(stack, model)
        wait_until(lambda: health(channel) != SERVING, BACK_SECONDS)
        wait_until(lambda: health(channel) == SERVING, BACK_SECONDS)
    assert model in stubs(stack)


def test_a_model_comes_back_with_the_config_it_was_loaded_with(stack, clients):
    with InferenceServerClient(stack.triton_address) as triton:
        found = triton.get_model_config("canny", as_json=True)["config"]
        found["parameters"] = {"mark": {"string_value": "kept"}}
        triton.load_model("canny", config=json.dumps(found))
        hurt(stack, clients, partial(kill_model, stack, "canny"))
        after = triton.get_model_config("canny", as_json=True)["config"]
    assert after["parameters"]["mark"] == {"string_value": "kept"}


def test_triton_that_dies_under_load(stack, clients):
    triton = triton_of(stack)
    states = []

    def kill():
        triton.kill()
        with stack.channel() as channel:
            wait_until(lambda: states.append(health(channel)) or states[-1] != SERVING, 10)

    hurt(stack, clients, kill)
    assert states[-1] == health_pb2.HealthCheckResponse.NOT_SERVING
    assert triton_of(stack).pid != triton.pid
    wait_until(lambda: stack.output.read_text().strip().endswith("Triton is back"), 10)
    assert "Triton ended (signal 9); starting it again" in stack.output.read_text()


def test_the_gateway_that_dies_under_load(stack, clients):
    gateway = gateway_of(stack)
    hurt(stack, clients, gateway.kill)
    assert gateway_of(stack).pid != gateway.pid
    assert "The gateway ended (signal 9); starting it again" in stack.output.read_text()


def stop_and_wait(stack, processes):
    """Stop `processes`, and wait until they are replaced and renders can be made."""
    for process in processes:
        process.suspend()
    wait_until(lambda: all(map(has_ended, processes)), PATIENCE + BACK_SECONDS)
    with stack.channel() as channel:
        wait_until(lambda: health(channel) == SERVING, BACK_SECONDS)


@pytest.mark.parametrize("model", sample(["unet", "render", "tokenizer"], {"render"}))
def test_a_models_process_that_stands_still(stack, request_for, model):
    triton = triton_of(stack)
    stop_and_wait(stack, stubs(stack)[model])
    assert "A model's process stood still for 15 s; it is killed" in stack.output.read_text()
    with stack.channel() as channel:
        assert stub_of(channel).Render(request_for(), timeout=HANG_SECONDS).images
    assert triton_of(stack).pid == triton.pid


def test_triton_that_stands_still_under_load(stack, clients):
    triton = triton_of(stack)
    hurt(stack, clients, partial(stop_and_wait, stack, [triton]))
    assert "Triton does not answer for 15 s; starting it again" in stack.output.read_text()


def test_the_gateway_that_stands_still_under_load(stack, clients):
    gateway = gateway_of(stack)
    hurt(stack, clients, partial(stop_and_wait, stack, [gateway]))
    assert "The gateway does not answer for 15 s; starting it again" in stack.output.read_text()
