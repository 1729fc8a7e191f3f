"""What a call does, whatever door it came through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from gateway.admission import Admission
from gateway.inference import Arrays, Inference
from pipeline import images
from pipeline.errors import NotFound, StageFailed
from pipeline.request import RenderRequest
from retrieval.library import StyleLibrary
from retrieval.styles import ScoredStyle, Style


@dataclass(frozen=True)
class Chosen:
    """The style of a render has been found."""

    style: Style
    score: float | None
    """None when the caller named the style, so that nothing was compared."""


@dataclass(frozen=True)
class Stepped:
    """A step is done."""

    step: int
    steps: int


@dataclass(frozen=True)
class Timings:
    """Wall-clock seconds of each stage."""

    queue: float
    embed: float
    search: float
    condition: float
    denoise: float
    decode: float
    total: float


@dataclass(frozen=True)
class Picture:
    """One finished picture."""

    png: bytes
    seed: int
    structure_f1: float


@dataclass(frozen=True)
class Finished:
    """The render is done."""

    pictures: tuple[Picture, ...]
    chosen: Chosen | None
    control_image: bytes
    style_image: bytes
    warnings: tuple[str, ...]
    timings: Timings


Event = Chosen | Stepped | Finished


@dataclass(frozen=True)
class _Styled:
    """A request whose style is settled."""

    request: RenderRequest
    chosen: Chosen | None
    embed_seconds: float = 0.0
    search_seconds: float = 0.0


class Service:
    """Renders and the style library, over Triton and Qdrant."""

    def __init__(self, inference: Inference, library: StyleLibrary, admission: Admission) -> None:
        self.inference = inference
        self.library = library
        self._admission = admission

    async def render(self, request: RenderRequest) -> AsyncGenerator[Event]:
        """Render, telling each event as it happens; ``Finished`` is the last.

        Closing the iterator cancels the render.
        """
        started = time.perf_counter()
        self._admission.require_room()
        await asyncio.to_thread(_check_images, request)
        finished = None
        async with self._admission.slot() as queued:
            styled = await self._with_style(request)
            if styled.chosen:
                yield styled.chosen
            async with aclosing(self.inference.render(styled.request)) as outputs:
                async for output in outputs:
                    if "step" in output:
                        yield Stepped(int(output["step"][0]), request.num_inference_steps)
                    else:
                        finished = _finished(styled, output, queued, started)
        # Told outside, so that a client that is slow to read holds no place.
        if finished is None:
            raise StageFailed("render ended without a picture")
        yield finished

    async def search(
        self, prompt: str, tags: tuple[str, ...], limit: int
    ) -> tuple[list[ScoredStyle], float, float]:
        """The styles nearest to `prompt`, and the seconds for its embedding and for the search."""
        started = time.perf_counter()
        vector = await self.inference.embed_text(prompt)
        embedded = time.perf_counter()
        found = await self.library.search(vector, tags, limit)
        return found, embedded - started, time.perf_counter() - embedded

    async def _with_style(self, request: RenderRequest) -> _Styled:
        if request.style_images:
            return _Styled(request, None)
        if request.style:
            chosen = Chosen(await self.library.get(request.style), None)
            return _Styled(await self._dressed(request, chosen), chosen)
        found, embed, search = await self.search(request.prompt, request.style_filter, limit=1)
        if not found:
            raise NotFound(_nothing_found(request))
        chosen = Chosen(found[0].style, found[0].score)
        return _Styled(await self._dressed(request, chosen), chosen, embed, search)

    async def _dressed(self, request: RenderRequest, chosen: Chosen) -> RenderRequest:
        picture = await self.library.picture(chosen.style)
        return replace(request, style="", style_images=(picture,))


def _check_images(request: RenderRequest) -> None:
    """Decode every upload behind the guards, so that a bad one is refused before it waits."""
    images.decode(request.sketch, "sketch")
    for image in request.style_images:
        images.decode(image, "style_images")


def _nothing_found(request: RenderRequest) -> str:
    if request.style_filter:
        wanted = ", ".join(request.style_filter)
        return (
            f"style_filter matches nothing: no style has all of the tags {wanted}. "
            "`maquette styles list` shows the tags there are."
        )
    return "The style library is empty. Add pictures with `maquette styles add FOLDER`."


def _finished(styled: _Styled, output: Arrays, queued: float, started: float) -> Finished:
    pictures = zip(output["images"], output["seeds"], output["structure_f1"], strict=True)
    return Finished(
        pictures=tuple(Picture(png, int(seed), float(score)) for png, seed, score in pictures),
        chosen=styled.chosen,
        control_image=output["control_image"][0],
        style_image=styled.request.style_images[0],
        warnings=tuple(warning.decode() for warning in output["warnings"]),
        timings=Timings(
            queue=queued,
            embed=styled.embed_seconds,
            search=styled.search_seconds,
            condition=float(output["condition_seconds"][0]),
            denoise=float(output["denoise_seconds"][0]),
            decode=float(output["decode_seconds"][0]),
            total=time.perf_counter() - started,
        ),
    )
