"""Which version of each network makes a render, and what the ensembles around them are called.

A render is made by one set of versions from its first step to its last. A plain model name means
version 1, what the exporter wrote; an ensemble of any other set has the difference in its name, as
in ``denoiser.unet3``. So what a name stands for never changes, and nothing switches under a render.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from pipeline.errors import InvalidRequest

EXPORTED = 1
"""The version that the exporter writes."""


@dataclass(frozen=True)
class PinnedVersions:
    """A version of each network that takes part in a render."""

    text_encoder: int = EXPORTED
    image_encoder: int = EXPORTED
    controlnet: int = EXPORTED
    unet: int = EXPORTED
    vae_decoder: int = EXPORTED

    @property
    def id(self) -> str:
        """What is not as exported, as in ``controlnet2-unet3``; empty where everything is."""
        return "-".join(
            f"{network}{version}"
            for network, version in self.versions.items()
            if version != EXPORTED
        )

    @property
    def versions(self) -> dict[str, int]:
        """The version of each network, by its name."""
        return asdict(self)

    def ensemble(self, name: str) -> str:
        """What the ensemble `name` is called that is made of these versions."""
        return f"{name}.{self.id}" if self.id else name

    def network(self, name: str) -> str:
        """What names the version of the network `name`, for who calls it directly."""
        version = self.versions[name]
        return name if version == EXPORTED else f"{name}/{version}"

    def to_json(self) -> str:
        """As the ``render`` model is told it."""
        return json.dumps(self.versions)


ALIASES = ("champion", "candidate", "previous")
"""What a request may ask for: what serves, what may serve next, and what served before."""
NETWORKS = tuple(field.name for field in fields(PinnedVersions))


def from_json(text: str) -> PinnedVersions:
    """The set of versions that `text` tells; what it leaves out is the exported version.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping) or not all(map(_is_version, found.items())):
        allowed = f"JSON with a version, 1 or more, of {', '.join(NETWORKS)}"
        raise InvalidRequest("pinned", text, allowed, "Leave it out for the exported versions.")
    return PinnedVersions(**found)


def _is_version(item: tuple[str, object]) -> bool:
    name, version = item
    # A bool is an int to Python.
    return name in NETWORKS and type(version) is int and version >= 1


def name_and_version(name: str) -> tuple[str, int]:
    """Triton's name and version of what :meth:`PinnedVersions.network` named."""
    model, _, version = name.partition("/")
    return model, int(version or EXPORTED)


def base(name: str) -> str:
    """The contract's name of what :class:`PinnedVersions` named."""
    return name.partition(".")[0].partition("/")[0]


def clip_ensemble(name: str, clip: int) -> str:
    """What the ensemble `name` around a network of the CLIP pair of version `clip` is called."""
    return name if clip == EXPORTED else f"{name}.clip{clip}"
