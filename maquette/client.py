"""A connection to a gateway, as the command line uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from maquette.v1 import maquette_pb2 as pb
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub

MAX_MESSAGE = 128 * 1024 * 1024


class CallFailed(Exception):
    """The gateway refused or could not be reached; ``str(error)`` is fit for a person to read."""


class Client:
    """Calls of maquette.v1 with errors in plain words."""

    def __init__(self, channel: grpc.Channel, address: str) -> None:
        self._stub = MaquetteServiceStub(channel)
        self._address = address

    def render(self, request: pb.RenderRequest) -> Iterator[pb.RenderStreamResponse]:
        """The events of one render; the last carries the result."""
        with self._plain_errors():
            yield from self._stub.RenderStream(request)

    def add_style(self, request: pb.AddStyleRequest) -> pb.AddStyleResponse:
        """Add one picture to the style library."""
        with self._plain_errors():
            return self._stub.AddStyle(request)

    def styles(self) -> Iterator[pb.Style]:
        """Every style in the library, in the order of ids."""
        token = ""
        while True:
            with self._plain_errors():
                page = self._stub.ListStyles(pb.ListStylesRequest(page_token=token))
            yield from page.styles
            token = page.next_page_token
            if not token:
                return

    def search(self, request: pb.SearchStylesRequest) -> list[pb.ScoredStyle]:
        """The styles nearest to a sentence, nearest first."""
        with self._plain_errors():
            return list(self._stub.SearchStyles(request).styles)

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise CallFailed(_in_words(error, self._address)) from error


def _in_words(error: grpc.RpcError, address: str) -> str:
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE and "Cancelling all calls" in details:
        return "The service is shutting down. Try again when it is back."
    if code is grpc.StatusCode.UNAVAILABLE and ("connect" in details or "resolving" in details):
        return f"No gateway at {address}. Start one with `maquette up`, or name it with --server."
    return details or code.name


@contextmanager
def connect(address: str) -> Iterator[Client]:
    """A connection to the gateway at `address` (``host:port``), closed at the end of the block.

    Raises:
        CallFailed: `address` is not of that form.
    """
    if not re.fullmatch(r"[\w.-]+:\d+|\[[\da-fA-F:]+\]:\d+", address):
        raise CallFailed(f"The server is {address!r}; allowed: host:port, such as 127.0.0.1:8033.")
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE),
        ("grpc.max_send_message_length", MAX_MESSAGE),
        # gRPC would ask an http_proxy of the environment even for this machine.
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.insecure_channel(address, options=options) as channel:
        yield Client(channel, address)
