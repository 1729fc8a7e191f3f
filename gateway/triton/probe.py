"""Finding dead models before a caller does."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import numpy as np

from gateway.triton.inference import Inference
from pipeline.errors import MaquetteError
from pipeline.images import encode_png
from pipeline.request import RenderRequest

TICK_SECONDS = 0.5
SIDE = 128
"""The smallest picture there is, in pixels."""
SHARE = 0.05
"""Of the time at most that probing may take, where models are slow."""


async def watch(inference: Inference, interval: float) -> None:
    """Keep finding out which models are dead, and so have them mended, until cancelled.

    Renders in progress are listened to; while there are none, everything is tried out.

    Args:
        interval: seconds of quiet before the models are tried out; 0 never does.
    """
    due = time.monotonic() + interval
    while True:
        await asyncio.sleep(TICK_SECONDS)
        await inference.check_liveness()
        if interval and time.monotonic() >= due and inference.quiet_seconds >= interval:
            took = await _try_out(inference)
            due = time.monotonic() + max(interval, took / SHARE)


async def _try_out(inference: Inference) -> float:
    """Probe once; the seconds that took, 0 where it failed, which says nothing of its cost."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(inference.hang_seconds):
            await probe(inference)
    except TimeoutError:
        inference.tried(answered=False)
        return 0.0
    except MaquetteError:
        # Why it failed is told where that is found out.
        return 0.0
    inference.tried(answered=True)
    return time.monotonic() - started


async def probe(inference: Inference) -> None:
    """Call everything that serves renders and retrieval, as cheaply as it can be done.

    Raises:
        MaquetteError: something does not serve; what died is being mended.
    """
    # Half of it black, because a sketch must have edges.
    png = encode_png(np.array([0, 255], np.uint8).repeat(SIDE // 2)[None].repeat(SIDE, 0))
    request = RenderRequest(
        sketch=png,
        prompt="a house",
        style_images=(png,),
        seed=0,
        num_inference_steps=1,
        guidance_scale=0,
        width=SIDE,
        height=SIDE,
    )
    clip = inference.served_versions.clip
    await inference.embed_text(request.prompt, clip)
    await inference.embed_image(png, clip)
    async with aclosing(inference.render(request)) as outputs:
        async for _ in outputs:
            pass
