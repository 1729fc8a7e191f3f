# Made from asynchronous.py by `make reference`; change that one.
"""The client: ``AsyncClient`` for asyncio, ``Client`` for programs without it."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, Self, TypeVar, Unpack

import grpc

from maquette.client import messages
from maquette.client.channel import Target, sync_channel
from maquette.client.failures import TRIES, failure, wait_before
from maquette.client.messages import Call
from maquette.client.options import File, RenderOptions, StyleOptions
from maquette.client.results import (
    AddedStyle,
    Event,
    Reembedded,
    Render,
    Result,
    ScoredStyle,
    ServerInfo,
    State,
    Style,
)
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub

Answer = TypeVar("Answer")


class Client:
    """A connection to a gateway, closed at the end of its ``with`` block or by ``close``.

    Methods raise ``CallFailed``. A call that is safe to repeat is sent up to three times when a
    part of the service is down for a moment; renders carry a key, so that none is made twice.

    Args:
        address: ``host:port`` of the gateway's gRPC door.
        api_key: where callers are asked who they are.
        ca: PEM file of the authority that signed the gateway's certificate; with it, TLS.
        timeout: seconds that a call may take; as long as it takes by default.
        tls: speak TLS, and trust the authorities that gRPC knows, or `ca` alone if given.
    """

    def __init__(
        self,
        address: str,
        api_key: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        timeout: float | None = None,
        tls: bool = False,
    ) -> None:
        self._target = Target(address, api_key, ca, timeout, tls)
        self._channel = sync_channel(self._target)
        self._stub = MaquetteServiceStub(self._channel)

    def render(self, sketch: File | None, prompt: str, **options: Unpack[RenderOptions]) -> Result:
        """Turn a sketch and a sentence into pictures; without a sketch, an `image`."""
        return self._answer(messages.render(sketch, prompt, options))

    def stream(
        self, sketch: File | None, prompt: str, **options: Unpack[RenderOptions]
    ) -> Generator[Event]:
        """The same, told step by step; the ``Result`` comes last. Closing it stops the render."""
        with closing(self._told(messages.stream(sketch, prompt, options))) as events:
            for event in events:
                yield event

    def get(self, identity: str) -> Render:
        """How a render is getting on, and its result."""
        return self._answer(messages.get(identity))

    def cancel(self, identity: str) -> State:
        """Stop a render at its next step; how it ended."""
        return self._answer(messages.cancel(identity))

    def styles(self) -> Generator[Style]:
        """Every style in the library, in the order of ids."""
        token, is_last = "", False
        while not is_last:
            page, token = self._answer(messages.styles(token))
            for style in page:
                yield style
            is_last = not token

    def search(
        self, prompt: str, *, style_filter: Sequence[str] = (), limit: int | None = None
    ) -> list[ScoredStyle]:
        """The styles nearest to a sentence that have all the tags, nearest first."""
        return self._answer(messages.search(prompt, style_filter, limit))

    def get_style(self, identity: str, *, thumbnail: int | None = None) -> tuple[Style, bytes]:
        """One style and its PNG, with `thumbnail` pixels on its longer side if given."""
        return self._answer(messages.get_style(identity, thumbnail))

    def add_style(self, image: File, name: str, **options: Unpack[StyleOptions]) -> AddedStyle:
        """Add a picture to the library."""
        return self._answer(messages.add_style(image, name, options))

    def remove_style(self, identity: str) -> Style:
        """Take a style out of the library; what it was."""
        return self._answer(messages.remove_style(identity))

    def info(self) -> ServerInfo:
        """What serves."""
        return self._answer(messages.info())

    def reembed(self, clip: int | None = None) -> Generator[Reembedded]:
        """Embed the library with another version of the CLIP pair, by default the candidate.

        Told step by step. What was made is kept when it is closed; the next one goes on there.
        """
        with closing(self._told(messages.reembed(clip))) as steps:
            for step in steps:
                yield step

    def close(self) -> None:
        """End the connection, and every call on it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, call: Call[Answer]) -> Answer:
        tries = 0
        while True:
            tries += 1
            try:
                return call.read(self._send(call))
            except grpc.RpcError as error:
                self._wait(call, tries, error)

    def _told(self, call: Call[Any]) -> Generator[Any]:
        tries = 0
        while True:
            tries += 1
            try:
                with closing(self._events(call)) as events:
                    for event in events:
                        tries = TRIES  # what has been told is not told anew
                        yield event
                    return
            except grpc.RpcError as error:
                self._wait(call, tries, error)

    def _events(self, call: Call[Any]) -> Generator[Any]:
        sent = self._send(call)
        try:
            for message in sent:
                event = call.read(message)
                if event is not None:
                    yield event
        finally:
            sent.cancel()

    def _send(self, call: Call[Any]) -> Any:
        send = getattr(self._stub, call.method)
        target = self._target
        return send(call.message, timeout=target.timeout, metadata=target.metadata(call))

    def _wait(self, call: Call[Any], tries: int, error: Any) -> None:
        failed = failure(error, self._target.address)
        time.sleep(wait_before(tries, failed, repeatable=call.repeatable))
