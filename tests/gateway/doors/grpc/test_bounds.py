"""A megabyte in any text of any method is refused before anything is done with it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from tritonclient.grpc import service_pb2

from gateway.doors.bounds import MAX_ITEMS, MAX_TEXT
from gateway.doors.grpc.auth_interceptor import OPEN
from gateway.doors.grpc_call import REQUEST_ID
from maquette.v1 import maquette_pb2 as pb

AWAY_SECONDS = 0.05
# One letter of these is eighteen when it is normalised.
LONG = "\ufdfa" * (2**20 // 3)
SERVICES = (
    pb.DESCRIPTOR.services_by_name["MaquetteService"],
    service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"],
)
METHODS = [
    method
    for service in SERVICES
    for method in service.methods
    # Health asks nobody, and does nothing with a name but look whether it is the model's.
    if not method.client_streaming and not method.server_streaming and method.name not in OPEN
]
TEXTS = [
    (method, field)
    for method in METHODS
    for field in method.input_type.fields
    if field.type == field.TYPE_STRING
]


@asynccontextmanager
async def never_away(seconds):
    """Fails when the loop's thread works for longer than `seconds` without a break.

    Its processor time is what counts: that of others on the machine is not ours.
    """
    longest, since = 0.0, time.thread_time()

    async def watch():
        nonlocal longest, since
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, since = max(longest, now - since), now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    yield
    watching.cancel()
    assert longest < seconds


async def refusal(door, method, request):
    async with grpc.aio.insecure_channel(door.address) as channel:
        call = channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda data: data,
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request.SerializeToString(), metadata=[("x-api-key", door.key)])
    return refused.value


async def test_a_megabyte_of_text_is_refused_at_once(door):
    assert len(TEXTS) > 20
    for method, field in TEXTS:
        value = [LONG] if field.is_repeated else LONG
        request = GetMessageClass(method.input_type)(**{field.name: value})
        async with never_away(AWAY_SECONDS):
            error = await refusal(door, method, request)
        if error.code() != grpc.StatusCode.UNIMPLEMENTED:  # nothing is read of what is not offered
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
            assert error.details() == (
                f"{field.name} is {len(LONG):,} characters; allowed: at most {MAX_TEXT:,} "
                "characters. Send less."
            )
            assert dict(error.trailing_metadata())[REQUEST_ID]


async def test_texts_in_messages_in_a_message_are_measured_as_well(door):
    request = service_pb2.ModelInferRequest(model_name="sketch_to_render")
    request.inputs.add(name=LONG)
    error = await refusal(door, method_of("ModelInfer"), request)
    assert error.details().startswith(f"name is {len(LONG):,} characters")
    request = service_pb2.ModelInferRequest(model_name="sketch_to_render")
    request.parameters[LONG].bool_param = True
    error = await refusal(door, method_of("ModelInfer"), request)
    assert error.details().startswith(f"parameters is {len(LONG):,} characters")


async def test_a_long_list_is_refused_before_it_is_looked_through(door):
    tags = ["night"] * (MAX_ITEMS + 1)
    request = pb.AddStyleRequest(image=b"-", name="dusk", tags=tags)
    error = await refusal(door, method_of("AddStyle"), request)
    assert error.details() == "tags is 101 values; allowed: at most 100 values. Send fewer."


def method_of(name):
    return next(method for method in METHODS if method.name == name)
