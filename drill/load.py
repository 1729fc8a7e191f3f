"""Renders of every kind, several at a time, for as long as the drill takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from bench.arithmetic import shuffled_decks
from drill.pictures import References
from maquette.client import AsyncClient, CallFailed, RenderOptions
from maquette.paths import EXAMPLE_SKETCH, EXAMPLE_STYLES

IN_FLIGHT = 4
SEED = 3


@dataclass(frozen=True)
class Request:
    """A render that always looks the same with the same versions."""

    name: str
    prompt: str
    options: RenderOptions


def requests() -> list[Request]:
    """2 to 8 steps; a style found by the prompt, one of the library, or one that is sent."""
    sent = (EXAMPLE_STYLES / "watercolour.png").read_bytes()
    return [
        _request(2, "futuristic neon city at night"),
        _request(3, "a house in the snow", style="winter"),
        _request(4, "a quiet street", style_images=[sent]),
        _request(5, "a villa at the sea", style="sunset", width=192, height=128),
        _request(6, "concrete and shadow", width=128, height=192),
        _request(8, "drawn with a soft pencil", style="pencil"),
    ]


def _request(steps: int, prompt: str, **options: object) -> Request:
    fixed = {"num_inference_steps": steps, "seed": steps, "width": 256, "height": 256, **options}
    return Request(f"{steps} steps", prompt, RenderOptions(**fixed))  # type: ignore[typeddict-item]


@dataclass(frozen=True)
class Made:
    """A render of the load. Moments are of ``time.monotonic``."""

    request: str
    sent: float
    ended: float
    wrong: str
    """Why its pixels are not those of the versions it names; empty where they are."""
    failure: str

    @property
    def seconds(self) -> float:
        """From sending to the picture."""
        return self.ended - self.sent

    def overlaps(self, spans: Sequence[tuple[float, float]]) -> bool:
        """Whether it was under way in any of `spans`."""
        return any(self.sent < until and since < self.ended for since, until in spans)


class Load:
    """Asks one gateway for renders without a pause. Made by :func:`loading`."""

    def __init__(
        self, client: AsyncClient, references: References, advance: Callable[[], None]
    ) -> None:
        self.made: list[Made] = []
        self._client, self._references, self._advance = client, references, advance
        self._sketch = EXAMPLE_SKETCH.read_bytes()
        self._over = False

    async def render(self, request: Request, versions: str = "") -> tuple[bytes, dict[str, int]]:
        """A picture and the versions that made it.

        Raises:
            CallFailed: there is none.
        """
        options = RenderOptions(**request.options)
        options["versions"] = versions
        result = await self._client.render(self._sketch, request.prompt, **options)
        return result.images[0].png, dict(result.versions)

    async def learn(self, pinned: str, asked: Sequence[Request], versions: str) -> None:
        """Keep what each of `asked` looks like made by `versions`, alone and undisturbed."""
        for request in asked:
            png, made_by = await self.render(request, versions)
            self._references.learn(request.name, pinned, png, made_by)
            self._advance()

    async def go_on(self, asked: Iterator[tuple[Request, str]]) -> None:
        """Render one after another until :meth:`end`."""
        while not self._over:
            self.made.append(await self._one(*next(asked)))
            self._advance()

    def end(self) -> None:
        """Begin no other render."""
        self._over = True

    async def _one(self, request: Request, versions: str) -> Made:
        sent, wrong, failure = time.monotonic(), "", ""
        try:
            png, made_by = await self.render(request, versions)
            wrong = await asyncio.to_thread(self._references.wrong, request.name, png, made_by)
        except CallFailed as error:
            failure = f"{request.name}: {error}"
        return Made(request.name, sent, time.monotonic(), wrong, failure)


@asynccontextmanager
async def loading(load: Load, asked: Sequence[Request]) -> AsyncIterator[None]:
    """`IN_FLIGHT` renders at any time, for the block; those in flight at its end are awaited."""
    deck = _mixed(asked)
    tasks = [asyncio.create_task(load.go_on(deck)) for _ in range(IN_FLIGHT)]
    try:
        yield
    finally:
        load.end()
        await asyncio.gather(*tasks)


def _mixed(asked: Sequence[Request]) -> Iterator[tuple[Request, str]]:
    """Half of them leave the versions to the gateway, half ask for the champion by its name."""
    for request, index in zip(shuffled_decks(asked, SEED), count(), strict=False):
        yield request, ("", "champion")[index % 2]
