"""Callers' pictures in processes that can be ended."""

from __future__ import annotations

import asyncio
import sys

import psutil
import pytest
from PIL import Image

from gateway.worker.decoding import PictureDecoder
from pipeline import images, png
from pipeline.errors import InvalidRequest, Unavailable
from tests.gateway.waiting import until
from tests.pictures import encoded

PHOTO = encoded(Image.linear_gradient("L").convert("RGB"), "JPEG")
SLOW = encoded(Image.new("RGBA", (5000, 5000), (0, 0, 0, 7)), "WEBP", lossless=True, method=0)
"""Some bytes that take two seconds."""


@pytest.fixture
def workers():
    """The processes that this test has started: others of the same run may have left theirs."""
    before = set(psutil.Process().children())
    return lambda: [child for child in psutil.Process().children() if child not in before]


async def at_work(decoder, workers, picture):
    """A decoding that has begun, and its process."""
    await decoder.start()
    (worker,) = workers()
    before = worker.cpu_times().user
    decoding = asyncio.create_task(decoder.decode(picture, "sketch"))
    await until(lambda: worker.cpu_times().user - before >= 0.05)
    return decoding, worker


async def test_a_picture_is_decoded_elsewhere(workers):
    decoder = PictureDecoder(at_once=2)
    await decoder.start()
    there = workers()
    assert len(there) == 2
    pictures = await asyncio.gather(*(decoder.decode(PHOTO, "sketch") for _ in range(8)))
    assert set(pictures) == {images.to_png(PHOTO, "sketch")}
    assert workers() == there


async def test_a_small_bare_png_stays_as_it_is():
    bare = encoded(Image.new("P", (40, 30)))
    assert (await PictureDecoder().decode(bare, "sketch")).png is bare
    large = await PictureDecoder().decode(encoded(Image.new("L", (3000, 1000))), "sketch")
    assert png.size_of(large.png) == (2048, 683)


async def test_a_refusal_comes_back_as_it_was_raised():
    with pytest.raises(InvalidRequest, match="^image is 9 bytes; allowed: a PNG, JPEG") as error:
        await PictureDecoder().decode(b"\xff\xd8nothing", "image")
    assert error.value.field == "image"


async def test_when_the_caller_leaves_its_process_ends_before_its_place_is_free(workers):
    decoder = PictureDecoder(at_once=1)
    decoding, worker = await at_work(decoder, workers, SLOW)
    waiting = asyncio.create_task(decoder.decode(PHOTO, "sketch"))
    decoding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await decoding
    assert not worker.is_running()
    assert await waiting == images.to_png(PHOTO, "sketch")


async def test_what_takes_too_long_is_ended(workers):
    decoder = PictureDecoder(at_once=1, seconds=0.5)
    decoding, worker = await at_work(decoder, workers, SLOW)
    with pytest.raises(InvalidRequest, match="^sketch is .*a picture that is decoded in 0.5 s"):
        await decoding
    assert not worker.is_running()
    await decoder.close()
    assert len(workers()) == 1


async def test_a_file_that_the_decoder_does_not_survive_is_refused(workers):
    decoder = PictureDecoder(at_once=1)
    decoding, worker = await at_work(decoder, workers, SLOW)
    worker.kill()
    with pytest.raises(InvalidRequest, match="^sketch is .*does not survive this file"):
        await decoding
    assert await decoder.decode(PHOTO, "sketch")


@pytest.mark.parametrize("program", ["/bin/false", "/no/such/program"])
async def test_a_process_that_cannot_be_started_is_not_the_files_fault(
    workers, monkeypatch, program, caplog
):
    decoder = PictureDecoder(at_once=1)
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", program)
        for _ in range(3):
            with pytest.raises(Unavailable, match="No picture can be decoded at present"):
                await decoder.decode(PHOTO, "sketch")
        assert not await decoder.has_room()
        with pytest.raises(Unavailable):
            await decoder.start()
        assert "cannot be started" in caplog.text
    assert await decoder.decode(PHOTO, "sketch") == images.to_png(PHOTO, "sketch")
    assert await decoder.has_room()
    (worker,) = workers()
    worker.kill()
    worker.wait()
    assert await decoder.decode(PHOTO, "sketch") == images.to_png(PHOTO, "sketch")


async def test_there_is_no_room_while_every_process_stands_still(workers):
    decoder = PictureDecoder(at_once=1)
    assert await decoder.has_room()
    decoding, worker = await at_work(decoder, workers, SLOW)
    worker.suspend()
    assert not await decoder.has_room()
    decoding.cancel()
    await asyncio.gather(decoding, return_exceptions=True)
    async with asyncio.timeout(30):
        while not await decoder.has_room():  # until another process has started
            pass


async def test_who_leaves_while_a_process_starts_leaves_none_behind(workers):
    decoder = PictureDecoder(at_once=1)
    decoding, _ = await at_work(decoder, workers, SLOW)
    decoding.cancel()
    await asyncio.gather(decoding, return_exceptions=True)
    waiting = asyncio.create_task(decoder.decode(PHOTO, "sketch"))
    await until(lambda: any(each.cpu_times().user > 0.02 for each in workers()))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await decoder.decode(PHOTO, "sketch")
    assert len(workers()) == 1
