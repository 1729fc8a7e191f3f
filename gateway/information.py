"""What serves: versions, models, the pack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.inference import Inference, ServedModel
from gateway.version import VERSION
from pipeline.errors import Unavailable
from pipeline.lineup import LineUp
from pipeline.samplers import SAMPLERS

VIRTUAL_MODEL = "sketch_to_render"
"""What a whole render is called where callers think in models."""


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
    """Changes with every engine that is exported anew."""
    line_ups: Mapping[str, LineUp]
    """What may be asked for now, by alias."""
    problem: str
    """Why the newest choice of versions does not serve; empty where it does."""
    clip: int
    """The version of the pair that embeds, and whose vectors are searched."""
    schedulers: tuple[str, ...] = tuple(SAMPLERS)


class Information:
    """Asks what is known, and is silent about what is not.

    Args:
        behind: says why newer versions may not be known here; empty where they are.
    """

    def __init__(self, inference: Inference, behind: Callable[[], str] = lambda: "") -> None:
        self._inference = inference
        self._behind = behind

    async def facts(self) -> Facts:
        """What serves now."""
        try:
            triton, models = await self._inference.served()
        except Unavailable:
            triton, models = "", ()
        pack = self._inference.pack
        return Facts(
            version=VERSION,
            triton_version=triton,
            models=models,
            pack=str(pack.get("name", "")),
            pack_revision=_revision(pack.get("engines", {})),
            line_ups=self._inference.line_ups.by_alias,
            problem=" ".join(filter(None, (self._inference.line_ups.problem, self._behind()))),
            clip=self._inference.line_ups.clip,
        )


def _revision(engines: object) -> str:
    if not engines:
        return ""
    return hashlib.sha256(json.dumps(engines, sort_keys=True).encode()).hexdigest()[:16]
