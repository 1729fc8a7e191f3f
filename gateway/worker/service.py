"""What a call does, whatever door it came through."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

from gateway.background import offload
from gateway.information import exported
from gateway.telemetry import tracing
from gateway.telemetry.outcomes import RenderOutcome, Scores, Timings
from gateway.triton.identity import Identities
from gateway.triton.inference import STAGES, Arrays, Inference
from gateway.version import VERSION
from gateway.worker.admission import Admission
from gateway.worker.decoding import PictureDecoder
from gateway.worker.events import (
    Attempted,
    BlendedStyle,
    Chosen,
    Finished,
    Picture,
    Stepped,
    Tell,
)
from gateway.worker.moderation import Moderation
from gateway.worker.painting import Painting
from gateway.worker.scoring import scored
from pipeline import attempts, images, presets, provenance, topology
from pipeline.attempts import Made, Painted
from pipeline.errors import InvalidRequest, NotFound, Words, shorten
from pipeline.png import size_of
from pipeline.provenance import Provenance
from pipeline.request import FIELDS, SEEDS, RenderRequest
from pipeline.size import require_paintable
from pipeline.style import weights_of
from retrieval.library import StyleLibrary
from retrieval.styles import NewStyle, ScoredStyle, Style
from versions.canary import Counts
from versions.repositories import Repository

MAX_SHOWN = 2**19
"""Bytes of a reference picture that an answer repeats as it is."""
SHOWN_SIDE = 384
"""Longest side in pixels of what it has of a larger one, which takes less than that as PNG."""
FILES = tuple(name for name, field in FIELDS.items() if field.kind is bytes)
"""Fields with pictures."""


@dataclass(frozen=True)
class Checked:
    """A request that may be rendered."""

    sent: RenderRequest
    request: RenderRequest
    """The same, with its pictures decoded."""
    warnings: tuple[str, ...] = ()
    """What became of the pictures."""


@dataclass(frozen=True)
class AddedStyle:
    """A style that is in the library now."""

    style: Style
    added: bool
    """Whether that changed anything."""
    warnings: tuple[str, ...]
    """What became of the picture."""


@dataclass(frozen=True)
class _Styled:
    """A request whose style is settled."""

    sent: RenderRequest
    request: RenderRequest
    chosen: Chosen | None
    embed_seconds: float = 0.0
    search_seconds: float = 0.0


class Service:
    """Renders and the style library, over Triton and Qdrant.

    Args:
        embed_sketch: whether pictures carry the sketch that they were made of.
        decoder: makes PNG files of callers' pictures; None takes one of its own.
        repository: the model repository, where the versions' manifests are, and where a candidate
            that does worse is called off.
        painted_by: told which versions made a render, and how that went; None when it failed.
    """

    def __init__(
        self,
        inference: Inference,
        library: StyleLibrary,
        admission: Admission,
        moderation: Moderation,
        *,
        embed_sketch: bool = True,
        decoder: PictureDecoder | None = None,
        repository: Repository | None = None,
        painted_by: Callable[[str, RenderOutcome | None], None] = lambda _pinned, _went: None,
    ) -> None:
        self.inference = inference
        self.library = library
        self._admission = admission
        self._moderation = moderation
        self._embed_sketch = embed_sketch
        self._decoder = decoder or PictureDecoder()
        self._identities = Identities(repository)
        self._painting = Painting(inference, admission, repository, painted_by)
        self._exported = exported(repository)

    @property
    def _pack(self) -> Mapping[str, Any]:
        return self.inference.pack or self._exported

    def resolved(self, request: RenderRequest) -> RenderRequest:
        """`request` with what its ``fidelity`` and its ``profile`` stand for with this pack.

        Raises:
            InvalidRequest: as :func:`pipeline.presets.resolved`.
        """
        return presets.resolved(request, few_steps=bool(self._pack.get("few_steps")))

    async def is_ready(self) -> bool:
        """Whether a render can begin: its style can be found, and its pictures decoded."""
        return await self.library.is_ready() and await self._decoder.has_room()

    async def check(self, request: RenderRequest) -> Checked:
        """Find out what is wrong with `request` before it waits, and decode its pictures.

        Raises:
            Overloaded: as many wait already as may.
            InvalidRequest: a picture is not acceptable, the pack has another number of layers than
                there are strengths, or does not paint at that size.
            NotFound: the library has no style of that id, or no such versions are served.
            Refused: moderation does not let it through.
        """
        self._admission.require_room()
        if request.versions:
            self.inference.served_versions.named(request.versions)
        if pack := self._pack:
            topology.from_facts(pack).layer_scales(request.ip_adapter_scale)
        # Of what it stands for, too, the caller is told now.
        self.resolved(request)
        with tracing.span("check"):
            checked = await self.decoded(request)
        sizes = {name: size_of(png) for name, png in checked.request.drawn.items()}
        require_paintable(request, sizes, self._pack.get("native_size", 0))
        await self._named(request)
        for name, file in request.drawn.items():
            await self._moderation.check_files([file], name)
        await self._moderation.check_files(request.style_images, "style")
        await self._moderation.check_request(checked.request)
        return checked

    async def decoded(self, request: RenderRequest) -> Checked:
        """`request` with its pictures decoded.

        Raises:
            InvalidRequest: one is not acceptable.
        """
        drawn = {
            name: await self._decoder.decode(file, name) for name, file in request.drawn.items()
        }
        styles = [await self._decoder.decode(one, "style_images") for one in request.style_images]
        decoded: dict[str, Any] = {name: each.png for name, each in drawn.items()}
        decoded["style_images"] = tuple(style.png for style in styles)
        is_transparent = "sketch" in drawn and drawn["sketch"].transparent
        if request.sketch_kind == "auto" and is_transparent:
            # What is decoded no longer shows it.
            decoded["sketch_kind"] = "transparent"
        warnings = sum((each.warnings for each in (*drawn.values(), *styles)), ())
        return Checked(request, replace(request, **decoded), warnings)

    async def render(self, checked: Checked, tell: Tell) -> None:
        """Render a request that was checked. Cancelling it ends the render at its next step.

        Args:
            tell: gets each event as it comes; ``Finished`` is the last.
        """
        started = time.perf_counter()
        request = checked.request
        # Drawn here and not in the model, so that a render that starts again is the same one.
        seed = secrets.randbelow(SEEDS) if request.seed is None else request.seed
        other = request.variation_seed
        if request.variation_strength and other is None:
            other = secrets.randbelow(SEEDS)
        request = replace(self.resolved(request), seed=seed, variation_seed=other)
        async with self._admission.slot() as queued:
            # How many tiles there are, its first step tells.
            tell(Stepped(0, request.first_steps))
            if request.preview_interval and await self._looks_at_renders():
                # Only finished pictures are looked at, and previews would be past that.
                request = replace(request, preview_interval=0)
            styled = await self._with_style(request, checked.sent)
            if styled.chosen:
                tell(styled.chosen)

            def step(output: Arrays) -> None:
                if "step" in output:
                    tell(Stepped.of(output))

            made = await attempts.make(
                lambda asked: self._painting.paint(asked, step),
                styled.request,
                lambda *ended: tell(Attempted(*ended)),
            )
        # From here on a client that is slow to read holds no place.
        pictures = [one.png for one in made.pictures]
        await self._moderation.check_pictures(pictures)
        f1 = [one.structure_f1 for one in made.pictures]
        scores = await scored(self.inference, styled.request, pictures, f1, self.library.clip)
        finishing = self._is_little(styled, made)
        with tracing.span("encode"):
            done = await offload.run(
                finishing, self._finished, styled, made, scores, queued, started
            )
        tell(replace(done, warnings=checked.warnings + done.warnings))

    async def _looks_at_renders(self) -> bool:
        return self._moderation.looks_at_pictures or await self.inference.has_safety_checker()

    @property
    def canary_counts(self) -> Counts:
        """What the canary came to here by now."""
        return self._painting.counts

    async def close(self) -> None:
        """End the shadows that are still made, which nobody waits for, and the decoder."""
        await self._painting.close()
        await self._decoder.close()

    async def add_style(self, new: NewStyle) -> AddedStyle:
        """Add a picture to the library; see :meth:`retrieval.library.StyleLibrary.add`.

        Raises:
            Refused: moderation does not let it through.
        """
        decoded = await self._decoder.decode(new.image, "image")
        await self._moderation.check_text(" ".join([new.name, *new.tags]), "name or a tag")
        await self._moderation.check_files([new.image], "style")
        await self._moderation.check_pictures([decoded.png], "style")
        new = replace(new, image=decoded.png)
        style, added = await self.library.add(new, self.inference.embed_image)
        return AddedStyle(style, added, decoded.warnings)

    async def picture(self, style: Style, longest_side: int | None = None) -> bytes:
        """The PNG of `style`, scaled down to `longest_side` pixels when that is given."""
        png = await self.library.picture(style)
        if longest_side is None or longest_side >= max(style.width, style.height):
            return png
        return await asyncio.to_thread(images.thumbnail, png, longest_side)

    def _is_little(self, styled: _Styled, made: Made) -> bool:
        """Whether it is little work to describe the pictures and to stamp them."""
        pictures = [one.png for one in made.pictures]
        # What the render started from goes into each of them.
        held = [*styled.request.uploads] * len(pictures)
        is_known = all(self._identities.are_known(_versions(each)) for each in made.outputs)
        return is_known and offload.are_little([*held, *pictures])

    def _finished(
        self,
        styled: _Styled,
        made: Made,
        scores: tuple[Scores, ...],
        queued: float,
        started: float,
    ) -> Finished:
        output = made.pictures[0].output
        return Finished(
            pictures=self._pictures(styled, made, scores),
            chosen=styled.chosen,
            control_image=output["control_image"][0],
            style_image=_shown(styled.request.style_images[0]),
            warnings=(*(warning.decode() for warning in output["warnings"]), *made.warnings),
            timings=Timings(
                queue=queued,
                embed=styled.embed_seconds,
                search=styled.search_seconds,
                **{stage: made.seconds(stage) for stage in STAGES},
                total=time.perf_counter() - started,
            ),
            versions=_versions(output),
            sketch_kind=output["sketch_kind"][0].decode(),
            attempts=made.attempts,
        )

    def _pictures(
        self, styled: _Styled, made: Made, scores: tuple[Scores, ...]
    ) -> tuple[Picture, ...]:
        of_attempt = {one.number: one for one in made.pictures}
        made_by = {number: self._described(styled, one) for number, one in of_attempt.items()}
        pictures = []
        for image, (one, score) in enumerate(zip(made.pictures, scores, strict=True)):
            told = provenance.of_one(
                made_by[one.number],
                styled.sent,
                vars(score),
                (one.seed, one.variation_seed),
                tuple(each for each in made.attempts if each.image == image),
            )
            pictures.append(Picture(provenance.stamp(one.png, told), one.seed, score))
        return tuple(pictures)

    def _described(self, styled: _Styled, one: Painted) -> Provenance:
        output = one.output
        files = {name: getattr(styled.sent, name) for name in FILES}
        return provenance.describe(
            replace(one.request, sketch_kind=output["sketch_kind"][0].decode(), **files),
            seed=one.seed,
            size=size_of(output["images"][0]),
            styles=[*styled.chosen.weights] if styled.chosen else (),
            pack=self._identities.of(json.loads(output["pack"][0]), _versions(output)),
            version=VERSION,
            used=styled.request if self._embed_sketch else None,
            variation_seed=one.variation_seed,
        )

    async def search(
        self, prompt: str, tags: tuple[str, ...], limit: int
    ) -> tuple[list[ScoredStyle], float, float]:
        """The styles nearest to `prompt`, and the seconds for its embedding and for the search."""
        started = time.perf_counter()
        # Of one version, whichever serves when the vector has come.
        clip = self.library.clip
        vector = await self.inference.embed_text(prompt, clip)
        embedded = time.perf_counter()
        with tracing.span("search"):
            found = await self.library.search(vector, tags, limit, clip)
        return found, embedded - started, time.perf_counter() - embedded

    async def _with_style(self, request: RenderRequest, sent: RenderRequest) -> _Styled:
        if request.style_images:
            return _Styled(sent, request, None)
        if named := await self._named(request):
            weights = request.style_weights or (1.0,) * len(named)
            blend = map(BlendedStyle, named, repeat(None), weights)
            return await self._dressed(request, sent, Chosen(tuple(blend)))
        found, embed, search = await self.search(
            request.words, request.style_filter, request.style_count
        )
        if not found:
            raise NotFound(_nothing_found(request))
        scores = [each.score for each in found]
        blend = map(BlendedStyle, (each.style for each in found), scores, weights_of(scores))
        styled = await self._dressed(request, sent, Chosen(tuple(blend)))
        return replace(styled, embed_seconds=embed, search_seconds=search)

    async def _named(self, request: RenderRequest) -> list[Style]:
        """The styles of the library that `request` names.

        Raises:
            NotFound: the library does not have one.
            InvalidRequest: it names one twice.
        """
        names = request.styles or filter(None, [request.style])
        named = [await self.library.get(name) for name in names]
        ids = [each.id for each in named]
        if twice := next((each for each in ids if ids.count(each) > 1), ""):
            found = Words(f"{shorten(twice)} more than once")
            remedy = "Name it once, with a larger weight in style_weights."
            raise InvalidRequest("styles", found, "each style once", remedy)
        return named

    async def _dressed(
        self, request: RenderRequest, sent: RenderRequest, chosen: Chosen
    ) -> _Styled:
        with tracing.span("fetch_style"):
            pictures = [await self.library.picture(each.style) for each in chosen.styles]
        # Again, because they may have been added before what is denied now was.
        await self._moderation.check_pictures(pictures, "style")
        settled: dict[str, Any] = {
            "style": "",
            "styles": (),
            "style_count": 1,
            "style_images": tuple(pictures),
            "style_weights": tuple(each.weight for each in chosen.styles),
        }
        return _Styled(replace(sent, **settled), replace(request, **settled), chosen)


def _shown(style: bytes) -> bytes:
    """`style`, or a smaller PNG of it: clients take 4 MiB in a message unless they are told."""
    return style if len(style) <= MAX_SHOWN else images.thumbnail(style, SHOWN_SIDE)


def _versions(output: Arrays) -> dict[str, int]:
    found: dict[str, int] = json.loads(output["versions"][0])
    return found


def _nothing_found(request: RenderRequest) -> str:
    if request.style_filter:
        wanted = ", ".join(request.style_filter)
        return (
            f"style_filter matches nothing: no style has all of the tags {wanted}. "
            "`maquette styles list` shows the tags there are."
        )
    return "The style library is empty. Add pictures with `maquette styles add FOLDER`."
