"""Both faces on real ports, over a painter that stands in for everything behind the renders."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from PIL import Image
from starlette.exceptions import HTTPException
from tritonclient.grpc import service_pb2_grpc

from gateway import errors
from gateway.auth.authenticator import Authenticator, Credentials
from gateway.auth.call_context import CallContext
from gateway.auth.caller import Quota, Scope
from gateway.auth.keys import KeyStore
from gateway.auth.limits import Limits
from gateway.doors.grpc.decoding import Decoding
from gateway.doors.http_bodies import Inflating
from gateway.doors.openinference.rest import router
from gateway.doors.openinference.servicer import OpenInferenceServicer
from gateway.doors.openinference.virtual_model import VirtualModel
from gateway.renders.registry import Renders
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.outcomes import Scores, Timings
from gateway.worker.events import BlendedStyle, Chosen, Finished, Picture, Stepped, Tell
from gateway.worker.service import Checked
from pipeline import images
from pipeline.errors import MaquetteError, NotFound
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RenderRequest
from retrieval.styles import Style
from tests.gateway.waiting import until
from tests.pictures import encoded

STYLE = Style("cyberpunk", "Cyberpunk", ("city",), "0" * 64, 64, 64)
SCORE = 0.25
TIMINGS = Timings(
    queue=0.5, embed=0.1, search=0.2, condition=0.3, denoise=2.0, decode=0.4, total=3.5
)
VERSION = "1.2.3"
UNSEEDED = 7
SLOW = "slow"
"""A prompt that is rendered when the gate is opened."""
BROKEN = "broken"
"""A prompt at which the painter fails as nobody foresaw."""


class Painter:
    """What ``Service`` is to the renders: paints a tiny picture that depends on every field."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.painted: list[RenderRequest] = []
        self.waiting = 0
        self.cancelled = 0

    async def check(self, request: RenderRequest) -> Checked:
        for image in (request.sketch, *request.style_images):
            images.decode(image, "sketch")
        return Checked(request, request)

    async def render(self, checked: Checked, tell: Tell) -> None:
        request = checked.request
        tell(Stepped(0, request.num_inference_steps))
        chosen = self._chosen(request)
        if chosen:
            tell(chosen)
        if request.prompt == BROKEN:
            raise ZeroDivisionError("a secret of the inside")
        if request.prompt == SLOW:
            await self._wait()
        self.painted.append(request)
        tell(self._finished(request, chosen))

    def _chosen(self, request: RenderRequest) -> Chosen | None:
        if request.style_images:
            return None
        if request.style not in ("", STYLE.id):
            raise NotFound(f"The style {request.style!r} is not in the library.")
        return Chosen((BlendedStyle(STYLE, None if request.style else SCORE),))

    async def _wait(self) -> None:
        self.waiting += 1
        try:
            await until(self.gate.is_set)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.waiting -= 1

    def _finished(self, request: RenderRequest, chosen: Chosen | None) -> Finished:
        first = UNSEEDED if request.seed is None else request.seed
        return Finished(
            pictures=tuple(
                Picture(painted(request, seed), seed, Scores(0.5, 0.25, 0.75))
                for seed in range(first, first + request.num_images)
            ),
            chosen=chosen,
            control_image=request.sketch,
            style_image=request.sketch,
            warnings=("The prompt was cut.",) if len(request.prompt) > 400 else (),
            timings=TIMINGS,
            versions=PinnedVersions().versions,
            sketch_kind="clean",
        )


def painted(request: RenderRequest, seed: int) -> bytes:
    digest = hashlib.sha256(f"{request.prompt} {request.style} {seed}".encode()).digest()
    return encoded(Image.fromarray(np.frombuffer(digest[:27], np.uint8).reshape(3, 3, 3)))


@dataclass
class Served:
    grpc: str
    http: str
    painter: Painter
    keys: KeyStore
    key: str = ""
    """An API key, where callers are asked who they are."""
    ready: bool = True

    async def is_ready(self) -> bool:
        return self.ready


@contextmanager
def serving(folder: Path, *, required: bool = False) -> Iterator[Served]:
    """Both faces, in a thread of their own, for the block."""
    keys = KeyStore(folder / "keys.json")
    key = keys.create("test", [Scope.STYLES])[1]
    served = Served("", "", Painter(), keys, key)
    started, stop = threading.Event(), threading.Event()

    def run() -> None:
        try:
            asyncio.run(_serve(served, started, stop, required=required))
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert started.wait(20)
        assert served.http, "the server did not start"
        yield served
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


async def _serve(served, started, stop, *, required) -> None:
    limits = Limits()
    authenticator = Authenticator(limits, Quota(600, 60, 4, 1000), served.keys, required=required)
    desk = CallContext(authenticator, Metrics(VERSION))
    renders = Renders(served.painter, limits, desk, keep_seconds=60, keep_bytes=1_000_000)
    virtual_model = VirtualModel(renders, served.is_ready, VERSION)
    rpc = grpc.aio.server(interceptors=[Decoding()])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
        OpenInferenceServicer(virtual_model, desk), rpc
    )
    served.grpc = f"127.0.0.1:{rpc.add_insecure_port('127.0.0.1:0')}"
    web = uvicorn.Server(
        uvicorn.Config(_app(virtual_model, desk), port=0, log_config=None, lifespan="off")
    )
    await rpc.start()
    answering = asyncio.create_task(web.serve())
    await until(lambda: web.started)
    served.http = f"127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
    started.set()
    await asyncio.to_thread(stop.wait)
    web.should_exit = True
    await answering
    await rpc.stop(None)
    await renders.close(0)
    await limits.close()


def _app(virtual_model: VirtualModel, desk: CallContext) -> FastAPI:
    def admitted(scope):
        async def admit(request: Request):
            key = request.headers.get("x-api-key", "")
            return await desk.authenticator.admit(Credentials(api_key=key), scope)

        return admit

    async def tell(_request, error):
        return JSONResponse({"error": errors.told(error)}, errors.code_of(error).http)

    app = FastAPI()
    app.include_router(router(virtual_model, admitted))

    async def tell_of_http(_request, error):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    app.add_exception_handler(Exception, tell)
    app.add_exception_handler(MaquetteError, tell)
    app.add_exception_handler(HTTPException, tell_of_http)
    app.add_middleware(Inflating)
    return app
