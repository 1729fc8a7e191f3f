"""From what the user named to a pack: a folder that is one, or checkpoints to make one of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from export.asked import Wanted
from export.checkpoints import assemble, catalog, parts
from export.checkpoints.hub import Source, locate
from export.files import PackError
from export.pack import Pack

DEFAULTS = {
    "controlnet": catalog.CONTROLNET,
    "ip_adapter": catalog.IP_ADAPTER,
    "image_encoder": catalog.IMAGE_ENCODER,
    "clip": catalog.CLIP,
}
"""What a base checkpoint is completed with."""
SHORT = {"lcm": catalog.LCM_LORA}
"""Names that stand for a hub id."""


def find(wanted: Wanted) -> Pack | assemble.Checkpoints:
    """The pack that `wanted` names, or all that one is to be made of, downloaded if need be.

    Raises:
        PackError: something cannot be found; says what and how to mend it.
    """
    path = Path(wanted.pack).expanduser()
    # A base checkpoint has none of these; a folder with some of them is a pack, whole or not.
    if not any((path / name).is_dir() for name in DEFAULTS):
        return _checkpoints(wanted)
    if wanted.changes:
        raise PackError(
            f"{wanted.pack} already is a pack, so {', '.join(wanted.changes)} would change it. "
            "Name a base checkpoint with --pack, or leave the others out."
        )
    return Pack(path)


def _checkpoints(wanted: Wanted) -> assemble.Checkpoints:
    assemble.require_replaceable(pack_folder(wanted))
    given = DEFAULTS | dict(wanted.parts)
    found: dict[str, Source] = {}
    for name, reference in {"base": wanted.pack, **given}.items():
        try:
            found[name] = locate(
                SHORT.get(reference, reference), _choose(name, wanted.safety_checker)
            )
            if name == "base":
                assemble.require_base(found[name], wanted.safety_checker)
        except PackError as error:
            raise PackError(f"{_option(name)}: {error}") from error
    return assemble.Checkpoints(**found, safety_checker=wanted.safety_checker)


def _choose(name: str, safety_checker: bool) -> Callable[[list[str]], list[str]]:
    def choose(names: list[str]) -> list[str]:
        if parts.is_sdxl(names):
            raise PackError("it is an SDXL checkpoint. Take one of Stable Diffusion 1.5.")
        wanted = assemble.needs(name, safety_checker)
        return list(parts.choose_all(wanted, names, prefer_half=True).values())

    return choose


def _option(name: str) -> str:
    return "--pack" if name == "base" else f"--{name.replace('_', '-')}"


def pack_folder(wanted: Wanted) -> Path:
    """Where the pack is made: its name tells the base, and what is not as usual."""
    path = Path(wanted.pack).expanduser()
    base = path.resolve() if path.exists() else Path(wanted.pack.split("@", maxsplit=1)[0])
    stem = base.stem if base.suffix == ".safetensors" else base.name
    others = [
        Path(reference.split("@", maxsplit=1)[0]).stem
        for name, reference in sorted(wanted.parts.items())
        if reference != DEFAULTS.get(name)
    ]
    return wanted.packs / "+".join([stem, *others])
