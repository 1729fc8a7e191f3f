"""Megabytes of tensors are read while others are served."""

from __future__ import annotations

import asyncio
import struct

from tritonclient.grpc import service_pb2 as pb

from gateway.auth.authenticator import Authenticator
from gateway.auth.call_context import CallContext
from gateway.auth.caller import ANYBODY, Quota
from gateway.auth.keys import KeyStore
from gateway.auth.limits import Limits
from gateway.doors.openinference.servicer import OpenInferenceServicer
from gateway.telemetry.metrics import Metrics


class Reader:
    """Answers nothing, and knows whether it was asked."""

    def __init__(self):
        self.asked = []

    async def infer(self, request, _caller):
        self.asked.append(request.render)
        return []


async def test_tensors_are_decoded_beside_the_loop(tmp_path):
    authenticator = Authenticator(
        Limits(), Quota(1, 1, 1, 1), KeyStore(tmp_path / "keys.json"), required=False
    )
    reader = Reader()
    servicer = OpenInferenceServicer(reader, CallContext(authenticator, Metrics("0")))
    parts = {"sketch": bytes(20_000_000), "prompt": b"a house"}
    message = pb.ModelInferRequest(
        model_name="sketch_to_render",
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=[1])
            for name in parts
        ],
        raw_input_contents=[struct.pack("<I", len(part)) + part for part in parts.values()],
    )
    inferring = asyncio.create_task(servicer._infer(message, ANYBODY))
    await asyncio.sleep(0)
    # Decoded on the loop, the request would have come so far with its first step.
    assert not reader.asked
    await inferring
    assert len(reader.asked[0].sketch) == 20_000_000
