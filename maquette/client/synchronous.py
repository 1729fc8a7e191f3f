"""The client that waits."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Self, TypeVar, Unpack

import grpc

from maquette.client import messages
from maquette.client.channel import OPTIONS, Target
from maquette.client.failures import TRIES, failure, wait_before
from maquette.client.messages import Call, CanaryOptions
from maquette.client.options import File, RenderOptions, StyleOptions
from maquette.client.results import (
    Canary,
    Change,
    Comparison,
    Event,
    GateVerdict,
    ModelVersion,
    PastChange,
    Reembedded,
    Render,
    Result,
    ScoredStyle,
    ServerInfo,
    State,
    Style,
    VersionStep,
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
        secure = self._target.credentials()
        self._channel = (
            grpc.secure_channel(address, secure, options=OPTIONS)
            if secure
            else grpc.insecure_channel(address, options=OPTIONS)
        )
        self._stub = MaquetteServiceStub(self._channel)

    def render(self, sketch: File, prompt: str, **options: Unpack[RenderOptions]) -> Result:
        """Turn a sketch and a sentence into pictures."""
        return self._answer(messages.render(sketch, prompt, options))

    def stream(
        self, sketch: File, prompt: str, **options: Unpack[RenderOptions]
    ) -> Iterator[Event]:
        """The same, told step by step; the ``Result`` comes last. Closing it stops the render."""
        yield from self._told(messages.stream(sketch, prompt, options))

    def get(self, identity: str) -> Render:
        """How a render is getting on, and its result."""
        return self._answer(messages.get(identity))

    def cancel(self, identity: str) -> State:
        """Stop a render at its next step; how it ended."""
        return self._answer(messages.cancel(identity))

    def styles(self) -> Iterator[Style]:
        """Every style in the library, in the order of ids."""
        page, token = self._answer(messages.styles(""))
        yield from page
        while token:
            page, token = self._answer(messages.styles(token))
            yield from page

    def search(
        self, prompt: str, *, style_filter: Sequence[str] = (), limit: int | None = None
    ) -> list[ScoredStyle]:
        """The styles nearest to a sentence that have all the tags, nearest first."""
        return self._answer(messages.search(prompt, style_filter, limit))

    def get_style(self, identity: str, *, thumbnail: int | None = None) -> tuple[Style, bytes]:
        """One style and its PNG, with `thumbnail` pixels on its longer side if given."""
        return self._answer(messages.get_style(identity, thumbnail))

    def add_style(
        self, image: File, name: str, **options: Unpack[StyleOptions]
    ) -> tuple[Style, bool]:
        """Add a picture to the library; whether anything changed."""
        return self._answer(messages.add_style(image, name, options))

    def remove_style(self, identity: str) -> Style:
        """Take a style out of the library; what it was."""
        return self._answer(messages.remove_style(identity))

    def info(self) -> ServerInfo:
        """What serves."""
        return self._answer(messages.info())

    def reembed(self, clip: int | None = None) -> Iterator[Reembedded]:
        """Embed the library with another version of the CLIP pair, by default the candidate.

        Told step by step. What was made is kept when it is closed; the next one goes on there.
        """
        return self._told(messages.reembed(clip))

    def versions(self, model: str = "") -> list[ModelVersion]:
        """The versions of one model, or of all: what they are and what they are used as."""
        return self._answer(messages.versions(model))

    def diff(
        self, model: str, one: str | int = "champion", other: str | int = "candidate"
    ) -> Comparison:
        """Where two versions, numbers or aliases, differ."""
        return self._answer(messages.diff(model, one, other))

    def history(self, model: str = "") -> Iterator[PastChange]:
        """What was done with the versions of one model, or of all, the newest first."""
        page, token = self._answer(messages.history(model, ""))
        yield from page
        while token:
            page, token = self._answer(messages.history(model, token))
            yield from page

    def publish(
        self, model: str, source: str, *, why: str = "", dry_run: bool = False
    ) -> Iterator[VersionStep | Change]:
        """Make an engine the next version and the candidate, told step by step.

        The ``Change`` comes last. Closing it ends it until it is put in place, and nothing of it
        is left then.

        Args:
            source: where the server finds it: a path below its folder for what comes in, or a URI.
        """
        options = {"why": why, "dry_run": dry_run}
        yield from self._told(messages.publish(model, source, options))

    def gate(
        self, model: str, renders: int | None = None, *, why: str = "", dry_run: bool = False
    ) -> Iterator[VersionStep | GateVerdict]:
        """Hold the candidate against the champion in the server, told step by step.

        The ``GateVerdict`` comes last, after some minutes. Closing it ends it.

        Args:
            renders: scenes; as many as usual by default.
            dry_run: keep no verdict.
        """
        options = {"why": why, "dry_run": dry_run}
        yield from self._told(messages.gate(model, renders, options))

    def canary(self) -> Canary:
        """How the candidate is tried on what people ask for."""
        return self._answer(messages.canary())

    def set_canary(
        self,
        share: float = 0.0,
        shadow: float = 0.0,
        *,
        why: str = "",
        force: bool = False,
        dry_run: bool = False,
        **bounds: Unpack[CanaryOptions],
    ) -> Change:
        """Try the candidate on a share of the renders; without any, stop trying it.

        Args:
            share: of the renders that it makes, less than 1; needs a passed gate.
            shadow: of the renders that it makes as well, unseen.
            force: without a passed gate; `why` is needed then.
        """
        options = {"why": why, "force": force, "dry_run": dry_run}
        return self._answer(messages.set_canary(share, shadow, bounds, options))

    def promote(
        self,
        model: str,
        version: int | None = None,
        *,
        why: str = "",
        force: bool = False,
        expected_champion: int | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Make a version, by default the candidate, the champion of new renders.

        Args:
            force: without a passed gate; `why` is needed then.
            expected_champion: promote only if that is the champion until then.
        """
        options = {"why": why, "force": force, "dry_run": dry_run}
        expected = {"expected_champion": expected_champion}
        return self._answer(messages.promote(model, version, options | expected))

    def rollback(self, model: str, *, why: str = "", dry_run: bool = False) -> Change:
        """Make the previous version the champion again."""
        return self._answer(messages.rollback(model, {"why": why, "dry_run": dry_run}))

    def retire(
        self, model: str, version: int | str, *, why: str = "", dry_run: bool = False
    ) -> Change:
        """Remove a version's files; or take ``candidate`` or ``previous`` away from a version."""
        return self._answer(messages.retire(model, version, {"why": why, "dry_run": dry_run}))

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
