"""A client that notes when it is told what; it repeats nothing that fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

import grpc

from maquette.client import CallFailed, Progress, RenderOptions, Result, messages
from maquette.client.channel import OPTIONS
from maquette.client.failures import Status, failure
from maquette.v1.maquette_pb2 import CancelRenderRequest
from maquette.v1.maquette_pb2_grpc import MaquetteServiceStub


@dataclass
class Told:
    """One render as its caller sees it. Moments are of ``time.perf_counter``."""

    asked: RenderOptions
    prompt: str = ""
    sent: float = field(default_factory=time.perf_counter)
    id: str = ""
    steps: list[float] = field(default_factory=list)
    """When each step was told."""
    ended: float | None = None
    result: Result | None = None
    failed: CallFailed | None = None
    refusals: int = 0
    """How often it was asked for in vain before."""
    task: asyncio.Task[None] | None = None
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def seconds(self) -> float:
        """From sending to the picture.

        Raises:
            CallFailed: there is no picture.
        """
        if self.failed:
            raise self.failed
        if self.ended is None:
            raise CallFailed("The render has not ended.")
        return self.ended - self.sent

    @property
    def refused(self) -> bool:
        """Whether there was no place for it."""
        return bool(self.failed and self.failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED)

    async def reached(self, step: int) -> float:
        """The moment `step` (from 1) is told, as soon as it is.

        Raises:
            CallFailed: the render ends before.
        """
        async with self.news:
            await self.news.wait_for(lambda: len(self.steps) >= step or self.ended is not None)
        if len(self.steps) < step:
            raise self.failed or CallFailed(f"The render ended before its step {step}.")
        return self.steps[step - 1]

    async def whole(self) -> float:
        """Its seconds, once it has ended.

        Raises:
            CallFailed: there is no picture.
        """
        async with self.news:
            await self.news.wait_for(lambda: self.ended is not None)
        return self.seconds


class Caller:
    """Asks one gateway for renders of one sketch. Made by :func:`calling`."""

    def __init__(self, address: str, channel: grpc.aio.Channel, sketch: bytes, prompt: str) -> None:
        self._address, self._sketch, self._prompt = address, sketch, prompt
        self._stub = MaquetteServiceStub(channel)

    def start(self, prompt: str = "", **options: object) -> Told:
        """Ask for a render, and go on at once.

        Args:
            prompt: another one than usual.
        """
        told = Told(RenderOptions(**options), prompt or self._prompt)  # type: ignore[typeddict-item]
        told.task = asyncio.create_task(self._follow(told))
        return told

    async def render(self, prompt: str = "", **options: object) -> Told:
        """Ask for a render, and wait until it has ended, however it did."""
        told = self.start(prompt, **options)
        if told.task:
            await told.task
        return told

    async def cancel(self, told: Told) -> float:
        """Stop a render by its id; the moment that it is known to be stopped."""
        await self._stub.CancelRender(CancelRenderRequest(id=told.id))
        return time.perf_counter()

    async def leave(self, several: Iterable[Told]) -> None:
        """End the calls of `several`, which stops those renders."""
        tasks = [told.task for told in several if told.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def closed_loop(
        self, asks: Iterator[RenderOptions], in_flight: int, count: int
    ) -> list[Told]:
        """`count` renders, `in_flight` of them at any time.

        Who is refused asks again when told to, and counts that time as well.
        """
        made: list[Told] = []
        rest = islice(asks, count)

        async def one_after_another() -> None:
            for ask in rest:
                made.append(await self._insist(ask))

        await asyncio.gather(*(one_after_another() for _ in range(in_flight)))
        return made

    async def open_loop(
        self, moments: Sequence[float], asks: Iterator[RenderOptions]
    ) -> list[Told]:
        """A render at each of `moments` (seconds from now), whatever becomes of the others."""
        began, made = time.perf_counter(), []
        for moment in moments:
            await asyncio.sleep(max(0.0, began + moment - time.perf_counter()))
            made.append(self.start(**next(asks)))
        await asyncio.gather(*(told.task for told in made if told.task))
        return made

    async def _insist(self, ask: RenderOptions) -> Told:
        """Ask until there is room.

        Raises:
            CallFailed: it failed for another reason.
        """
        sent, refusals = time.perf_counter(), 0
        while (told := await self.render(**ask)).failed:
            if not told.refused or told.failed.retry_after is None:
                raise told.failed
            await asyncio.sleep(told.failed.retry_after)
            refusals += 1
        told.sent, told.refusals = sent, refusals
        return told

    async def _follow(self, told: Told) -> None:
        call = messages.stream(self._sketch, told.prompt, told.asked)
        stream = self._stub.RenderStream(call.message)
        try:
            async for message in stream:
                event = call.read(message)
                now = time.perf_counter()
                if isinstance(event, Progress) and event.step:
                    told.steps.append(now)
                elif isinstance(event, Result):
                    told.result, told.ended = event, now
                elif message.HasField("accepted"):
                    told.id = message.accepted.id
                await _tell(told)
        except grpc.aio.AioRpcError as error:
            told.failed = failure(cast("Status", error), self._address)
        finally:
            stream.cancel()
            told.ended = told.ended or time.perf_counter()
            await _tell(told)


async def _tell(told: Told) -> None:
    async with told.news:
        told.news.notify_all()


@asynccontextmanager
async def calling(address: str, sketch: bytes, prompt: str) -> AsyncIterator[Caller]:
    """A caller with a connection of its own."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        yield Caller(address, channel, sketch, prompt)
