"""The connection to Triton, for as long as the gateway runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from tritonclient.grpc import aio as triton

from gateway.triton.inference import Inference
from gateway.triton.probe import watch

# Triton stands beside the gateway, so no proxy of the environment's has a part in it, and it is
# back at once when it was started again.
CHANNEL = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # So that a picture comes in one go; gRPC's own window begins at 64 KB.
    ("grpc.http2.lookahead_bytes", 4 * 2**20),
    ("grpc.http2.bdp_probe", 0),
]


@asynccontextmanager
async def connect(
    address: str,
    stall_seconds: float,
    probe_seconds: float,
    mended: Callable[[str], None],
    repository: Path | None = None,
    hang_seconds: float = 0,
) -> AsyncIterator[Inference]:
    """A connection to Triton's gRPC service at `address`, closed at the end of the block.

    Args:
        stall_seconds: how long Triton may be silent before a call is given up.
        probe_seconds: how often idle models are tried out; 0 never does.
        mended: told the name of each model that had died and is back.
        repository: whose aliases say which versions serve; None serves what was exported.
        hang_seconds: of silence after which renders are not expected to succeed; 0 never.
    """
    client = triton.InferenceServerClient(address, channel_args=CHANNEL)
    inference = Inference(client, stall_seconds, mended, repository, hang_seconds or None)
    watching = asyncio.create_task(watch(inference, probe_seconds))
    try:
        yield inference
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await inference.close()
        await client.close()
