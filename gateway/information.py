"""What serves: versions, models, the pack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.background import offload
from gateway.triton.identity import Identities
from gateway.triton.inference import Inference, ServedModel
from gateway.version import VERSION
from pipeline import topology
from pipeline.errors import Unavailable
from pipeline.pinned_versions import PinnedVersions
from pipeline.request import RANGES, SIZE_STEP
from pipeline.samplers import SAMPLERS, STEP_LIMITS
from pipeline.size import LARGEST_FACTOR
from versions.aliases import CLIP
from versions.catalogue import FINISHED
from versions.repositories import Repository

VIRTUAL_MODEL = "sketch_to_render"
"""What a whole render is called where callers think in models."""


@dataclass(frozen=True)
class RenderLimits:
    """Which pictures can be asked for."""

    native_side: int = 0
    """Of a square picture, the pixels a side that the pack is made for; 0 until that is known."""
    min_side: int = int(RANGES["width"].low)
    max_side: int = int(RANGES["width"].high)
    side_step: int = SIZE_STEP
    """Sides are multiples of it."""
    cross_attention_layers: int = 0
    """How many values ``ip_adapter_scale`` may have, if not one; 0 until that is known."""
    max_steps: Mapping[str, int] = field(
        default_factory=lambda: {
            name: STEP_LIMITS.get(name, int(RANGES["num_inference_steps"].high))
            for name in SAMPLERS
        }
    )
    """By scheduler."""

    @property
    def max_pixels(self) -> int:
        """Width times height at most, with this pack; 0 until that is known."""
        return (LARGEST_FACTOR * self.native_side) ** 2


@dataclass(frozen=True)
class Facts:
    """What a caller may want to know before asking for a render."""

    version: str
    triton_version: str
    """Empty while Triton does not answer."""
    models: tuple[ServedModel, ...]
    pack: str
    """Empty until a render has told it."""
    pack_revision: str
    """Changes with every engine that is exported anew or promoted."""
    served_versions: Mapping[str, PinnedVersions]
    """What may be asked for now, by alias."""
    problem: str
    """Why the newest choice of versions does not serve; empty where it does."""
    clip: int
    """The version of the pair that embeds, and whose vectors are searched."""
    limits: RenderLimits
    schedulers: tuple[str, ...] = tuple(SAMPLERS)


class Information:
    """Asks what is known, and is silent about what is not.

    Args:
        behind: says why newer versions may not be known here; empty where they are.
        repository: where the versions' manifests are, and what the exporter tells of the pack; None
            where what was exported serves.
    """

    def __init__(
        self,
        inference: Inference,
        behind: Callable[[], str] = lambda: "",
        repository: Repository | None = None,
    ) -> None:
        self._inference = inference
        self._identities = Identities(repository)
        self._behind = behind
        self._exported = exported(repository)

    async def facts(self) -> Facts:
        """What serves now."""
        try:
            triton, models = await self._inference.served()
        except Unavailable:
            triton, models = "", ()
        pack = await self._pack()
        known = self._inference.pack or self._exported
        return Facts(
            version=VERSION,
            triton_version=triton,
            models=models,
            pack=str(pack.get("name", "")),
            pack_revision=_revision(pack.get("engines", {})),
            served_versions=self._inference.served_versions.by_alias,
            problem=" ".join(
                filter(None, (self._inference.served_versions.problem, self._behind()))
            ),
            clip=self._inference.served_versions.clip,
            limits=RenderLimits(
                int(known.get("native_size", 0)),
                cross_attention_layers=len(topology.from_facts(known).cross_attention_layers)
                if known
                else 0,
            ),
        )

    async def _pack(self) -> Mapping[str, Any]:
        """What renders are made with now; empty until a render has told what was exported."""
        told, served_versions = self._inference.pack, self._inference.served_versions
        if not told or not served_versions.ready:
            return told
        versions = served_versions.champion.versions | dict.fromkeys(CLIP, served_versions.clip)
        known = self._identities.are_known(versions)
        found = await offload.run(known, self._identities.of, told, versions)
        return {**found, "engines": {**told["engines"], **found["engines"]}}


def exported(repository: Repository | None) -> Mapping[str, Any]:
    """What the exporter tells of the pack in `repository`; empty where that cannot be read."""
    if repository is None:
        return {}
    try:
        facts: Mapping[str, Any] = json.loads((repository.folder / FINISHED).read_bytes())
    except (OSError, ValueError):
        return {}
    return facts


def _revision(engines: object) -> str:
    if not engines:
        return ""
    return hashlib.sha256(json.dumps(engines, sort_keys=True).encode()).hexdigest()[:16]
