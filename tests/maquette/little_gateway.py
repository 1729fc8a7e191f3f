# ruff: noqa: N802 - the methods are called as the protocol calls them
"""A gateway in small: maquette.v1 over gRPC, without networks and Qdrant.

Its pictures are noise that everything in the request decides, so that the same picture means that
the same request arrived.
"""

from __future__ import annotations

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import grpc
import numpy as np
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import (
    MaquetteServiceServicer,
    add_MaquetteServiceServicer_to_server,
)
from pipeline.errors import InvalidRequest
from pipeline.images import decode, encode_png, thumbnail, to_png
from pipeline.png import size_of
from pipeline.provenance import describe, stamp
from pipeline.request import RenderRequest
from retrieval.styles import slug

PAGE = 2
SIZE = 128
FOREVER = "a house that takes for ever"
"""The prompt of a render that ends only when someone stops it."""


class LittleGateway(MaquetteServiceServicer):
    """Keeps styles and renders in memory.

    Attributes:
        down: calls that are still to be answered with UNAVAILABLE.
        breaks_off: answer renders so after their first event.
        calls: method and metadata of every call.
        api_key: what callers must show, if anything.
    """

    def __init__(self):
        self.down = 0
        self.breaks_off = False
        self.retry_seconds = 0.01
        self.calls = []
        self.api_key = None
        self.embed_sketch = True
        self.engines = {"unet": "aaaa"}
        self.versions = {"champion": {"unet": 1}}
        self.clip = 1
        self.problem = ""
        self.sha256 = {"unet": "0" * 64}
        self.pictures = {}
        self.styles = {}
        self.renders = {}
        self.stopped = threading.Event()

    def Render(self, request, context):
        self._admit("Render", context)
        *_, last = self._render(request, context)
        return last.result

    def RenderStream(self, request, context):
        self._admit("RenderStream", context)
        yield from self._render(request, context)

    def GetRender(self, request, context):
        self._admit("GetRender", context)
        return self._known(self.renders, request.id, context)

    def CancelRender(self, request, context):
        self._admit("CancelRender", context)
        render = self._known(self.renders, request.id, context)
        if render.state == pb.RENDER_STATE_RUNNING:
            render.state = pb.RENDER_STATE_CANCELLED
        return pb.CancelRenderResponse(state=render.state)

    def ServerInfo(self, _request, context):
        self._admit("ServerInfo", context)
        models = [pb.ServedModel(name="unet", version="1", ready=True)]
        served_versions = [
            pb.PinnedVersions(alias=alias, versions=up) for alias, up in self.versions.items()
        ]
        return pb.ServerInfoResponse(
            version="9.9", models=models, pack="little", scopes=["render"],
            served_versions=served_versions, clip=self.clip, problem=self.problem,
        )  # fmt: skip

    def AddStyle(self, request, context):
        self._admit("AddStyle", context)
        try:
            picture = to_png(request.image, "image")
        except InvalidRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        png = picture.png
        width, height = size_of(png)
        style = pb.Style(
            id=slug(request.name), name=request.name, tags=request.tags,
            sha256=hashlib.sha256(png).hexdigest(), width=width, height=height,
        )  # fmt: skip
        known = self.styles.get(style.id)
        if known and known != style and not request.replace:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "It differs (--replace).")
        self.styles[style.id], self.pictures[style.id] = style, png
        warnings = picture.warnings
        return pb.AddStyleResponse(style=style, added=known != style, warnings=warnings)

    def GetStyle(self, request, context):
        self._admit("GetStyle", context)
        style = self._known(self.styles, request.id, context)
        png = self.pictures[style.id]
        small = thumbnail(png, request.thumbnail) if request.HasField("thumbnail") else png
        return pb.GetStyleResponse(style=style, image=small)

    def RemoveStyle(self, request, context):
        self._admit("RemoveStyle", context)
        style = self._known(self.styles, request.id, context)
        del self.styles[style.id]
        return pb.RemoveStyleResponse(style=style)

    def ListStyles(self, request, context):
        self._admit("ListStyles", context)
        rest = [style for _, style in sorted(self.styles.items()) if style.id >= request.page_token]
        following = rest[PAGE].id if len(rest) > PAGE else ""
        return pb.ListStylesResponse(styles=rest[:PAGE], next_page_token=following)

    def SearchStyles(self, request, context):
        self._admit("SearchStyles", context)
        fitting = [s for s in self.styles.values() if set(request.style_filter) <= set(s.tags)]
        scored = [pb.ScoredStyle(style=style, score=0.5) for style in fitting]
        return pb.SearchStylesResponse(styles=scored[: request.limit or 5])

    def _admit(self, method, context):
        metadata = dict(context.invocation_metadata())
        self.calls.append((method, metadata))
        if self.api_key and metadata.get("authorization") != f"Bearer {self.api_key}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Who are you? Send an API key.")
        if self.down:
            self.down -= 1
            context.abort_with_status(
                rpc_status.to_status(
                    refusal(
                        grpc.StatusCode.UNAVAILABLE, "Triton does not answer.", self.retry_seconds
                    )
                )
            )

    def _known(self, kept, identity, context):
        if identity not in kept:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{identity!r} is not there.")
        return kept[identity]

    def _render(self, message, context):
        request = self._checked(message, context)
        render = self._entered(message)
        context.add_callback(lambda: self._left(render))
        yield pb.RenderStreamResponse(accepted=pb.Accepted(id=render.id))
        if self.breaks_off:
            context.abort_with_status(
                rpc_status.to_status(
                    refusal(
                        grpc.StatusCode.UNAVAILABLE, "Triton does not answer.", self.retry_seconds
                    )
                )
            )
        styles = []
        if not request.style_images:
            styles = self._styles_of(request, context)
            render.style.CopyFrom(styles[0])
            yield pb.RenderStreamResponse(style=styles[0])
        for step in range(request.num_inference_steps + 1):
            self._go_on(render, request, context)
            previews = [b"preview"] if request.preview_interval and step else []
            progress = pb.Progress(step=step, steps=request.num_inference_steps, previews=previews)
            render.progress.CopyFrom(progress)
            yield pb.RenderStreamResponse(progress=progress)
        render.result.CopyFrom(self._painted(render.id, request, styles))
        render.state = pb.RENDER_STATE_SUCCEEDED
        yield pb.RenderStreamResponse(result=render.result)

    def _checked(self, message, context):
        sent = {
            field.name: tuple(value) if field.is_repeated else value
            for field, value in message.ListFields()
            if field.name not in ("id", "keep_running")
        }
        try:
            request = RenderRequest(**sent)
            for name, file in request.drawn.items():
                decode(file, name)
        except InvalidRequest as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return request

    def _entered(self, message):
        identity = message.id or f"r{len(self.renders)}"
        render = pb.GetRenderResponse(id=identity, state=pb.RENDER_STATE_RUNNING)
        render.create_time.GetCurrentTime()
        self.renders[identity] = render
        return render

    def _left(self, render):
        if render.state == pb.RENDER_STATE_RUNNING:
            render.state = pb.RENDER_STATE_CANCELLED
            self.stopped.set()

    def _styles_of(self, request, context):
        names = request.styles or filter(None, [request.style])
        named = [self._known(self.styles, name, context) for name in names]
        found = named or [*self.styles.values()][: request.style_count]
        weights = request.style_weights or (1.0,) * len(found)
        return [
            pb.ScoredStyle(style=style, score=None if named else 0.5, weight=weight)
            for style, weight in zip(found, weights, strict=True)
        ]

    def _go_on(self, render, request, context):
        """Return at once, or for an endless render when it has been stopped."""
        while request.prompt == FOREVER and render.state == pb.RENDER_STATE_RUNNING:
            time.sleep(0.01)
        if render.state == pb.RENDER_STATE_CANCELLED:
            context.abort(grpc.StatusCode.CANCELLED, f"The render {render.id} was cancelled.")

    def _painted(self, identity, request, styles):
        worn = request.style_images or tuple(self.pictures[each.style.id] for each in styles)
        settled = {"style": "", "styles": (), "style_count": 1, "style_images": worn}
        if styles:
            settled["style_weights"] = tuple(each.weight for each in styles)
        shown = RenderRequest(**{**vars(request), **settled})
        drawn = {name: to_png(file, name).png for name, file in shown.drawn.items()}
        decoded_styles = (to_png(picture, "picture").png for picture in shown.style_images)
        decoded = replace(shown, style_images=tuple(decoded_styles), **drawn)
        size = (request.width or SIZE, request.height or SIZE)
        first = 7 if request.seed is None else request.seed
        images = []
        for seed in range(first, first + request.num_images):
            pack = {
                "name": "little",
                "precision": "fp32",
                "engine": "onnx",
                "engines": self.engines,
                "versions": self.versions[request.versions or "champion"],
                "sha256": self.sha256,
            }
            made = describe(
                shown, seed=seed, size=size, styles=[each.style.id for each in styles], pack=pack,
                version="9.9", used=decoded if self.embed_sketch else None,
            )  # fmt: skip
            png = stamp(self._paint(shown, made), made)
            images.append(pb.RenderedImage(png=png, seed=seed, structure_f1=0.5))
        return pb.RenderResponse(
            id=identity, images=images, styles=styles,
            style=styles[0].style if styles else None,
            style_score=styles[0].score if styles and styles[0].HasField("score") else None,
            control_image=request.sketch, style_image=worn[0], warnings=["the prompt was cut"],
            timings=pb.Timings(total_seconds=1.5),
            versions=self.versions[request.versions or "champion"],
        )  # fmt: skip

    def _paint(self, request, made):
        told = (dict(made.parameters), request.weights, self.engines, dict(made.pack.versions))
        content = hashlib.sha256(repr(told).encode())
        for name, file in request.drawn.items():
            content.update(name.encode() + decode(file, name).tobytes())
        for image in request.style_images:
            content.update(decode(image, "style_images").tobytes())
        drawn = np.random.default_rng(list(content.digest()))
        shape = (made.parameters["height"], made.parameters["width"], 3)
        return encode_png(drawn.integers(0, 256, shape, dtype=np.uint8))


def refusal(code, message="Too many at once.", retry_seconds=0.01):
    """A refusal that says when to try again."""
    packed, delay = Any(), Duration()
    delay.FromMilliseconds(int(retry_seconds * 1000))
    packed.Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(code=code.value[0], message=message, details=[packed])


@contextmanager
def serving(gateway, credentials=None, host="127.0.0.1"):
    """The address where `gateway` serves for the block."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    add_MaquetteServiceServicer_to_server(gateway, server)
    if credentials:
        port = server.add_secure_port(f"{host}:0", credentials)
    else:
        port = server.add_insecure_port(f"{host}:0")
    server.start()
    try:
        yield f"{host}:{port}"
    finally:
        server.stop(grace=None).wait()
