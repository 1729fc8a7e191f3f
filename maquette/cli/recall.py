"""``maquette recall``: what made a picture, and the same picture again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer

from maquette.cli.common import (
    Gateway,
    connected,
    console,
    fail,
    note,
    on_gateway,
    print_facts,
)
from maquette.cli.files import check_output, read, write
from maquette.cli.render import follow, made_by
from maquette.client import Client, RenderOptions
from pipeline import provenance
from pipeline.errors import InvalidRequest
from pipeline.images import decode, encode_png
from pipeline.provenance import Pack, Provenance, Source, StyleImage

SHOWN = 12
"""Digits of a checksum that tell pictures apart."""


class CannotRecall(Exception):
    """Something that made the picture is missing or has changed; says what to do."""


@dataclass(frozen=True)
class Difference:
    """How far two pictures are from one another, in steps of 0 to 255."""

    largest: int
    mean: float
    share: float
    """Of the pixels that differ at all, 0 to 1."""

    def __str__(self) -> str:
        if not self.largest:
            return "identical"
        return (
            f"not identical: {self.share:.1%} of the pixels differ, by {self.largest} of 255 at "
            f"most and {self.mean:.2g} on average"
        )


@on_gateway
def recall(
    gateway: Gateway,
    image: Annotated[Path, typer.Argument(help="A picture that maquette made.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the new picture.")] = None,
    sketch: Annotated[
        Path | None, typer.Option(help="The sketch, where the picture holds none.")
    ] = None,
    begun_with: Annotated[
        Path | None,
        typer.Option("--image", help="The image it began with, where the picture holds none."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="The mask, where the picture holds none.")
    ] = None,
    style_image: Annotated[
        list[Path] | None,
        typer.Option(help="A reference that the library does not have; repeatable."),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only tell what made it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False,
) -> None:
    """Tell what made a picture, render it again from that, and compare the two.

    Ends with 0 when they are identical, and with 1 when not. One picture of several comes back by
    itself: its seed is all that sets it apart.
    """
    try:
        original = read(image)
        made = _made(image, original)
        if not as_json:
            _print(made)
        if show:
            if as_json:
                typer.echo(json.dumps(_facts(made), indent=2))
            return
        if out:
            check_output("--out", out)
            if out.resolve() == image.resolve():
                raise ValueError(f"--out is {out}, the picture to compare with. Choose another.")
        given = {"sketch": sketch, "image": begun_with, "mask": mask}
        sources = {
            name: _source(name, source, given[name]) for name, source in made.sources.items()
        }
        own = [read(path) for path in style_image or []]
        with connected(gateway) as client:
            again = _paint(made, sources, own, client)
        if out:
            write(out, again)
        difference = _difference(original, again)
        changes = _changes(made, provenance.read(again))
    except (CannotRecall, InvalidRequest, OSError, ValueError) as error:
        raise fail(error) from error
    if as_json:
        comparison = {"identical": not difference.largest, **asdict(difference)}
        told = {**_facts(made), "changes": changes, "comparison": comparison}
        typer.echo(json.dumps(told, indent=2))
    else:
        for change in changes:
            note(change)
        console.print(str(difference), highlight=False)
    if difference.largest:
        raise typer.Exit(1)


def _made(path: Path, picture: bytes) -> Provenance:
    made = provenance.read(picture)
    if made is None:
        raise CannotRecall(
            f"{path} does not say what made it: maquette did not, or another program saved it anew."
        )
    return made


def _source(name: str, source: Source, path: Path | None) -> bytes:
    """The picture that it began with: the file that is named, or the one that is held."""
    if path is None:
        if source.png is None:
            raise CannotRecall(
                f"The picture holds no {name}. Name its file with --{name}; "
                f"the sha256 is {source.sha256}."
            )
        return source.png
    given = read(path)
    if source.sha256 not in _checksums(given, f"--{name}"):
        raise CannotRecall(
            f"--{name} is not the one that made the picture: its sha256 is {_sha256(given)}, "
            f"and {source.sha256} is wanted."
        )
    return given


def _paint(
    made: Provenance, sources: Mapping[str, bytes], own: Sequence[bytes], client: Client
) -> bytes:
    """The picture again; `own` are references that the library need not have."""
    options: dict[str, Any] = {**made.parameters, **sources, **_style(made, own, client)}
    sketch, prompt = options.pop("sketch", None), options.pop("prompt")
    options["versions"] = _versions(made, client)
    return follow(client.stream(sketch, prompt, **cast(RenderOptions, options))).images[0].png


def _versions(made: Provenance, client: Client) -> str:
    """The alias that stands for the versions that made it, or none: then the service chooses."""
    served_versions = client.info().served_versions
    return next((alias for alias, up in served_versions.items() if up == made.pack.versions), "")


def _style(made: Provenance, own: Sequence[bytes], client: Client) -> RenderOptions:
    pictures = {
        sha256: picture for picture in own for sha256 in _checksums(picture, "--style-image")
    }
    weights = [image.weight for image in made.style_images]
    if pictures.keys().isdisjoint(image.sha256 for image in made.style_images):
        named = [
            _same_style(image.style, image.sha256, client)
            for image in made.style_images
            if image.style
        ]
        if len(named) == 1:
            return {"style": named[0]}
        if named:
            return {"styles": named, "style_weights": weights}
    return {
        "style_images": [_reference(image, pictures, client) for image in made.style_images],
        "style_weights": weights,
    }


def _same_style(identity: str, sha256: str, client: Client) -> str:
    style, _ = client.get_style(identity, thumbnail=16)
    if style.sha256 != sha256:
        raise CannotRecall(
            f"The library's style {identity} is another picture now ({style.sha256[:SHOWN]}, not "
            f"{sha256[:SHOWN]}). Name a copy of the old one with --style-image."
        )
    return identity


def _reference(image: StyleImage, own: dict[str, bytes], client: Client) -> bytes:
    """That picture: one of the caller's own, the one that is held, or else the library's."""
    if held := own.get(image.sha256) or image.png:
        return held
    found = next((style for style in client.styles() if style.sha256 == image.sha256), None)
    if found is None:
        raise CannotRecall(
            f"No --style-image and no style of the library has the sha256 {image.sha256}, and the "
            "picture does not hold it. Name the file with --style-image."
        )
    return client.get_style(found.id)[1]


def _difference(original: bytes, again: bytes) -> Difference:
    """Compare pixels, not files: what a picture says of itself may differ."""
    before, after = decode(original, "the picture"), decode(again, "the new picture")
    if before.size != after.size:
        raise CannotRecall(
            f"The picture was scaled or cropped: it has {before.width} x {before.height} pixels, "
            f"and the render has {after.width} x {after.height}."
        )
    steps = np.abs(np.asarray(before, np.int16) - np.asarray(after, np.int16))
    differing = (steps.max(axis=-1) > 0).mean()
    return Difference(int(steps.max()), float(steps.mean()), float(differing))


def _changes(made: Provenance, again: Provenance | None) -> list[str]:
    """What serves differently since the picture was made."""
    if again is None:
        return ["The server does not say what made the new picture."]
    before, after = made.pack.engines, again.pack.engines
    # Older pictures name networks as well that take no part in painting.
    past = {name for name in before if name in after or name in made.pack.versions}
    engines = [
        f"The engine of {name} is {after.get(name, 'gone')}; it was {before.get(name, 'none')}."
        for name in sorted(past | after.keys())
        if before.get(name) != after.get(name)
    ]
    facts = {
        "pack": (made.pack.name, again.pack.name),
        "pack's precision": (made.pack.precision, again.pack.precision),
        "pack's kind of engine": (made.pack.engine, again.pack.engine),
        "version of maquette": (made.version, again.version),
    }
    facts |= {
        f"version of {name}": (str(version), str(again.pack.versions.get(name, "not told")))
        for name, version in made.pack.versions.items()
    }
    others = [
        f"The {name} is {now}; it was {then}." for name, (then, now) in facts.items() if now != then
    ]
    return [*others, *engines, *_other_files(made.pack, again.pack)]


def _other_files(made: Pack, again: Pack) -> list[str]:
    """Versions of one number that are not the same, as in another repository."""
    return [
        f"The files of {name} {made.versions.get(name)} are not those that made the picture."
        for name in sorted(made.sha256.keys() & again.sha256.keys())
        if made.versions.get(name) == again.versions.get(name)
        and made.sha256[name] != again.sha256[name]
    ]


def _facts(made: Provenance) -> dict[str, Any]:
    facts = {**asdict(made), "style": made.style}
    for picture in (*facts["sources"].values(), *facts["style_images"]):
        picture["held"] = picture.pop("png") is not None
    return facts


def _print(made: Provenance) -> None:
    rows = {name.replace("_", " "): _words(value) for name, value in made.parameters.items()}
    rows |= {
        "style": ", ".join(made.styles) or "pictures of the caller's own",
        "references": ", ".join(map(_reference_words, made.style_images)),
        **{name: _source_words(source) for name, source in made.sources.items()},
        **{name.replace("_", " "): _words(value) for name, value in made.asked.items()},
        "scores": ", ".join(f"{name} {score:g}" for name, score in made.scores.items()),
        "attempts": ", ".join(f"{one.structure_f1:g} (seed {one.seed})" for one in made.attempts),
        "pack": f"{made.pack.name}, {made.pack.precision}, {made.pack.engine}",
        "versions": made_by(made.pack.versions),
        "made by": f"maquette {made.version}",
    }
    print_facts({name: value for name, value in rows.items() if value})


def _words(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return ", ".join(f"{part:g}" for part in value) if isinstance(value, tuple) else str(value)


def _source_words(source: Source) -> str:
    held = "held in the picture" if source.png else "not held in the picture"
    return f"{source.sha256[:SHOWN]}, {held}"


def _reference_words(image: StyleImage) -> str:
    held = ", held in the picture" if image.png else ""
    name = f"{image.style}, " if image.style else ""
    return f"{name}{image.sha256[:SHOWN]} (weight {image.weight:g}{held})"


def _checksums(picture: bytes, option: str) -> set[str]:
    """Those by which a picture may be named: of its file, and of what a library keeps of it."""
    return {_sha256(picture), _sha256(encode_png(np.asarray(decode(picture, option))))}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
