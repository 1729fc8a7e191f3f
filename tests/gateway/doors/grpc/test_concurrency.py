"""Who takes all the places that there are keeps nobody else from the gRPC door."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.auth.caller import Scope
from gateway.auth.keys import KeyStore
from gateway.doors.concurrency import ConcurrencyLimiter
from gateway.doors.grpc.concurrency import HEALTH_EACH, WATCHES_EACH, Bounds, _only
from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub
from pipeline.errors import DeadlineExceeded, InvalidRequest, Overloaded

CODE = grpc.StatusCode
CALLS = 64
"""That the fixture's door takes."""


@pytest.fixture
async def channel(door):
    async with grpc.aio.insecure_channel(door.address) as channel:
        yield channel


async def never():
    await asyncio.Event().wait()
    yield b""


def new_key(door, name):
    _, secret = KeyStore(door.settings.keys).create(name, {Scope.RENDER})
    return (("x-api-key", secret),)


async def code_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code()


async def test_strangers_who_watch_health_take_no_place_of_callers(door, channel, sketch):
    watch = health_pb2_grpc.HealthStub(channel).Watch
    watches = [watch(health_pb2.HealthCheckRequest()) for _ in range(CALLS + 10)]
    told = await asyncio.gather(*(each.read() for each in watches), return_exceptions=True)
    refused = [error for error in told if isinstance(error, grpc.aio.AioRpcError)]
    assert len(refused) == len(watches) - WATCHES_EACH
    assert {error.code() for error in refused} == {CODE.RESOURCE_EXHAUSTED}
    assert await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    request = pb.RenderRequest(sketch=sketch, prompt="a house", num_inference_steps=1)
    stub = MaquetteServiceStub(channel)
    assert (await stub.Render(request, metadata=new_key(door, "ben"))).images
    for each in watches:
        each.cancel()


@pytest.mark.parametrize(
    "method",
    [
        "/grpc.health.v1.Health/Check",
        "/inference.GRPCInferenceService/ServerLive",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ],
)
async def test_calls_whose_request_does_not_come_take_no_place_of_callers(door, channel, method):
    half = [channel.stream_stream(method)(never()) for _ in range(CALLS + 10)]
    for each in half:
        # Whom the server may refuse without the request, it may have refused by now.
        with suppress(grpc.aio.AioRpcError):
            await each.wait_for_connection()
    refused = {await each.code() for each in half if each.done()}
    assert refused <= {CODE.UNAUTHENTICATED}
    stub, metadata = MaquetteServiceStub(channel), new_key(door, "ben")
    assert (await stub.ServerInfo(pb.ServerInfoRequest(), metadata=metadata)).version
    for each in half:
        each.cancel()


def test_one_host_has_half_of_the_places_of_health_at_most():
    pool = Bounds(1)._pool("/grpc.health.v1.Health/Check")
    assert pool.by_host
    with ExitStack() as held:
        for _ in range(HEALTH_EACH):
            held.enter_context(pool.places.taken("ipv4:203.0.113.7"))
        with pytest.raises(Overloaded, match="of your calls"):
            held.enter_context(pool.places.taken("ipv4:203.0.113.7"))
        held.enter_context(pool.places.taken("ipv4:127.0.0.1"))


async def test_one_caller_has_half_of_the_places_at_most(door, channel):
    ada = (("x-api-key", door.key),)
    render = channel.stream_unary("/maquette.v1.MaquetteService/Render")
    half_sent = [render(never(), metadata=ada) for _ in range(CALLS // 2)]
    for each in half_sent:
        await each.wait_for_connection()
    stub = MaquetteServiceStub(channel)
    request = pb.ServerInfoRequest()
    # Whether the server has heard of all of them is known when it refuses one more.
    while True:
        call = stub.ServerInfo(request, metadata=ada)
        if await call.code() is CODE.RESOURCE_EXHAUSTED:
            break
    assert f"32 of your calls are in progress already; allowed: {CALLS // 2}." in (
        await call.details()
    )
    ben = new_key(door, "ben")
    assert (await stub.ServerInfo(request, metadata=ben)).version
    for each in half_sent:
        each.cancel()
    # The places are given back, and to her, too.
    while (
        await (call := stub.ServerInfo(pb.ServerInfoRequest(), metadata=ada)).code() is not CODE.OK
    ):
        assert await call.code() is CODE.RESOURCE_EXHAUSTED


async def test_strangers_may_not_look_at_the_methods(channel):
    method = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    call = channel.stream_stream(method)(never())
    assert await code_of(call.read()) is CODE.UNAUTHENTICATED


async def test_a_request_that_does_not_arrive_is_told_so():
    with pytest.raises(DeadlineExceeded, match=r"did not arrive within 0.01 s. Send it at once"):
        await _only(never(), 0.01)


async def test_a_call_that_ends_without_a_request_is_told_so(door, channel):
    async def nothing():
        return
        yield b""

    method = "/maquette.v1.MaquetteService/ServerInfo"
    call = channel.stream_unary(method)(nothing(), metadata=(("x-api-key", door.key),))
    assert await code_of(call) is CODE.INVALID_ARGUMENT


def test_places_are_counted_together_and_each():
    places = ConcurrencyLimiter(most=3, most_each=2)
    with places.taken("ada"), places.taken("ada"):
        with pytest.raises(Overloaded, match="2 of your calls"), places.taken("ada"):
            pass
        with places.taken("ben"), pytest.raises(Overloaded, match="3 calls"), places.taken("cid"):
            pass
        with pytest.raises(InvalidRequest), places.taken("ben"):
            raise InvalidRequest("x", 1, "2", "Try 2.")
    with places.taken("ada"), places.taken("ada"):
        pass
