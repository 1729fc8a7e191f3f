"""Megabytes of tensors are read while others are served."""

from __future__ import annotations

import asyncio
import struct

from tritonclient.grpc import service_pb2 as pb

from gateway.desk import Desk
from gateway.observability.metrics import Metrics
from gateway.openinference.servicer import OpenInferenceServicer
from gateway.protection.caller import ANYBODY, Quota
from gateway.protection.doorkeeper import Doorkeeper
from gateway.protection.keys import KeyStore
from gateway.protection.limits import Limits


class Reader:
    """Answers nothing, and knows whether it was asked."""

    def __init__(self):
        self.asked = []

    async def infer(self, request, _caller):
        self.asked.append(request.render)
        return []


async def test_tensors_are_decoded_beside_the_loop(tmp_path):
    doorkeeper = Doorkeeper(
        Limits(), Quota(1, 1, 1, 1), KeyStore(tmp_path / "keys.json"), required=False
    )
    reader = Reader()
    servicer = OpenInferenceServicer(reader, Desk(doorkeeper, Metrics("0")))
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
