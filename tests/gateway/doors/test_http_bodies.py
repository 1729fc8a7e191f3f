"""Compressed bodies, and base64 as people send it."""

from __future__ import annotations

import base64
import gzip
import os
import tracemalloc
import zlib

import pytest
from starlette.exceptions import HTTPException

from gateway.doors.http_bodies import MAX_BODY, UNBOUND_BYTES, Inflating, from_base64
from pipeline.errors import InvalidRequest


async def unpacked(body, encoding, chunk=1000):
    """What a route reads of `body`, which comes in chunks."""
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)] or [b""]
    coming = [
        {"type": "http.request", "body": each, "more_body": n < len(chunks)}
        for n, each in enumerate(chunks, 1)
    ]
    read = []

    async def receive():
        return coming.pop(0)

    async def route(_scope, receive, _send):
        while True:
            message = await receive()
            read.append(message["body"])
            if not message["more_body"]:
                return

    headers = [(b"content-encoding", encoding.encode())]
    await Inflating(route)({"type": "http", "headers": headers}, receive, None)
    return b"".join(read)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("", bytes),
    ],
)
async def test_unpacks(encoding, pack):
    body = os.urandom(30_000) + bytes(30_000)
    assert await unpacked(pack(body), encoding) == body


async def test_what_is_small_may_grow_as_it_likes():
    assert len(await unpacked(gzip.compress(bytes(UNBOUND_BYTES)), "gzip")) == UNBOUND_BYTES


async def test_a_bomb_is_put_out_before_it_grows():
    bomb = gzip.compress(bytes(50_000_000), 1)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="body is more than 100 times as large as the"):
            await unpacked(bomb, "gzip")
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


async def test_no_body_grows_beyond_what_may_be_sent_at_all():
    body = gzip.compress(os.urandom(1_500_000) + bytes(MAX_BODY), 1)
    with pytest.raises(HTTPException, match="at most") as refused:
        await unpacked(body, "gzip", 1_000_000)
    assert refused.value.status_code == 413


async def test_what_unpacks_to_nothing_ends_as_well():
    empty_block = b"\x00\x00\x00\xff\xff"
    with pytest.raises(HTTPException, match="at most") as refused:
        await unpacked(b"\x78\x01" + empty_block * (MAX_BODY // 5), "deflate", 1_000_000)
    assert refused.value.status_code == 413


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "x" * 500])
async def test_others_are_refused_and_those_accepted_are_named(encoding):
    with pytest.raises(HTTPException, match="allowed: gzip or deflate") as refused:
        await unpacked(b"{}", encoding)
    assert refused.value.status_code == 415
    assert refused.value.headers == {"Accept-Encoding": "gzip, deflate"}
    assert len(refused.value.detail) < 300


# No time in it: both processes of the tests must collect the same names.
PACKED = gzip.compress(b"{}", mtime=0)


@pytest.mark.parametrize("body", [b"", b"{}", PACKED[:-1], PACKED + b"x"])
async def test_damaged(body):
    with pytest.raises(InvalidRequest, match=r"allowed: data in gzip. It is damaged or cut short"):
        await unpacked(body, "gzip")


def test_base64_may_be_wrapped():
    data = os.urandom(300)
    assert from_base64(base64.encodebytes(data).decode()) == data
    assert from_base64(f"\r\n {base64.b64encode(data).decode()} ") == data
