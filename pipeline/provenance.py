"""What made a picture, kept in the picture itself: PNG chunks beside the pixels.

Three of them: ``maquette``, JSON with everything that a second render needs; an XMP packet that
tells other software, in IPTC's words, that a generative model made the picture; and ``Software``.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from PIL.Image import Resampling

from pipeline.attempts import Attempt
from pipeline.errors import InvalidRequest
from pipeline.fields import Field
from pipeline.images import decode, encode_png, scaled
from pipeline.png import HEADER_END, SIGNATURE, Damaged, chunk, chunks
from pipeline.request import FIELDS, MAX_PROMPT, MAX_STYLE_IMAGES, SOURCES, RenderRequest
from pipeline.tensor import shortest_decimal

KEYWORD = b"maquette"
SOFTWARE = "maquette"
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
DIGITAL_SOURCE_TYPE = f"{_SOURCE_TYPES}trainedAlgorithmicMedia"
"""Media that a generative model created, in IPTC's vocabulary: a render starts from noise, and the
sketch only guides it."""
COMPOSITE_SOURCE_TYPE = f"{_SOURCE_TYPES}compositeWithTrainedAlgorithmicMedia"
"""Existing media that a model edited: a render that began with an image."""

MAX_HELD = 2**20
"""Bytes of the sketch and references in the pictures of one render, all together."""
MAX_PICTURE = 64 * 2**20
MAX_ENGINES = 64
"""More networks than any pack has."""
MAX_NUMBERS = 16
"""More than a picture has scores or attempts."""

PICTURES = frozenset({"sketch", *SOURCES, "style", "styles", "style_images", "style_weights"})
"""What a render starts from; it is told by checksums, and not among the parameters."""
PARAMETERS: Mapping[str, Field] = {
    name: field
    for name, field in FIELDS.items()
    # What the alias in `versions` stands for changes; so the pack tells the versions themselves.
    if field.pixels and name not in PICTURES | {"versions"}
}
"""The other fields of the request that decide the pixels."""
ASKED = ("fidelity", "profile", "structure_min", "max_attempts")
"""Fields that decide of others; a picture is made again without them."""
ACTUAL = frozenset({"seed"})
"""Those that are known of every picture, whether or not the request had them."""

_NOT_OURS = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading JSON of another form raises."""


@dataclass(frozen=True)
class StyleImage:
    """A reference picture."""

    sha256: str
    """Of its bytes, in hexadecimal; for a style of the library, the style's."""
    weight: float
    """Among the others; they need not sum to 1."""
    png: bytes | None = None
    """A PNG with the pixels that were used; None for a style of the library, and when it was not
    embedded."""
    style: str | None = None
    """The library's id; None for a picture of the caller's own."""


@dataclass(frozen=True)
class Source:
    """The sketch, or another picture that a render began with."""

    sha256: str
    """Of the bytes as they were sent, in hexadecimal."""
    png: bytes | None
    """A PNG with the pixels that were used or, where these are many, with what they are at the
    size of the picture, which comes to the same; None when it was not embedded."""


@dataclass(frozen=True)
class Pack:
    """The networks that painted."""

    name: str
    precision: str
    engine: str
    engines: Mapping[str, str]
    """The fingerprint of each network's engine."""
    versions: Mapping[str, int]
    """Of the networks that took part; empty in pictures of before there were versions."""
    sha256: Mapping[str, str]
    """What tells the files of each of them from others of its number; empty where that was not
    known."""


@dataclass(frozen=True)
class Provenance:
    """What made one picture.

    Its JSON says ``softwareAgent`` (name and version), ``digitalSourceType`` and ``parameters`` as
    C2PA's action assertions do, and the models' versions under ``pack``, so that a signer can take
    them over as they are.
    """

    parameters: Mapping[str, Any]
    """By the names in ``PARAMETERS``, but for those that were left out and have no default; seed
    and size are the actual ones."""
    style_images: tuple[StyleImage, ...]
    """All of the library, or all of the caller's own."""
    sources: Mapping[str, Source]
    """By the names of their fields, as far as they were sent."""
    pack: Pack
    version: str
    """Of maquette."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """What the picture was measured by, to three digits; not needed to make it again."""
    asked: Mapping[str, float | str] = field(default_factory=dict)
    """What decided of the parameters, by the names in ``ASKED``, as far as it was set."""
    attempts: tuple[Attempt, ...] = ()
    """Every one at this picture, itself among them, where ``structure_min`` was set."""

    @property
    def styles(self) -> tuple[str, ...]:
        """The library's ids; none when the caller sent reference pictures."""
        return tuple(image.style for image in self.style_images if image.style)

    @property
    def style(self) -> str | None:
        """The library's id, where it is a single one."""
        return self.styles[0] if len(self.styles) == 1 else None


def describe(
    request: RenderRequest,
    *,
    seed: int,
    size: tuple[int, int],
    styles: Sequence[str],
    pack: Mapping[str, Any],
    version: str,
    used: RenderRequest | None,
    variation_seed: int | None = None,
) -> Provenance:
    """What made the picture of `seed`. That of others in its batch differs in the seed alone.

    Args:
        request: as it was sent, but with what its sketch was taken for in ``sketch_kind``, and with
            the styles' stored pictures in ``style_images`` when they are the
            library's.
        size: of the picture, ``(width, height)`` in pixels.
        styles: the library's id of each of these; none for pictures of the caller's own.
        pack: as the ``render`` model tells it (``pipeline.wire.pack_identity``), its ``versions``
            and their ``sha256``.
        version: of maquette.
        variation_seed: of the picture; None where its noise was not turned.
        used: the same, with PNGs of the pixels that were used. Its sources, and references that are
            the caller's own, are put in while ``MAX_HELD`` lasts. None: no picture is put in.
    """
    actual: dict[str, Any] = {"seed": seed, "variation_seed": variation_seed}
    if not request.only_enlarges:
        # One that is enlarged as it is may have a size that no render has.
        actual |= {"width": size[0] // request.upscale, "height": size[1] // request.upscale}
    weights = request.style_weights or (1.0,) * len(request.style_images)
    drawn, own = _held(used, size, is_own=not styles) if used else ({}, [])
    references = zip_longest(request.style_images, weights, own, styles)
    return Provenance(
        parameters={
            name: _plain(value) if field.kind is float else value
            for name, field in PARAMETERS.items()
            if (value := actual.get(name, getattr(request, name))) is not None
        },
        style_images=tuple(
            StyleImage(_sha256(image), shortest_decimal(share), png, style)
            for image, share, png, style in references
        ),
        sources={
            name: Source(_sha256(file), drawn.get(name)) for name, file in request.drawn.items()
        },
        pack=Pack(
            pack["name"],
            pack["precision"],
            pack["engine"],
            dict(pack["engines"]),
            dict(pack["versions"]),
            dict(pack["sha256"]),
        ),
        version=version,
    )


def with_seed(provenance: Provenance, seed: int, variation_seed: int | None = None) -> Provenance:
    """What made the picture of `seed` in the same batch."""
    seeds = {"seed": seed}
    if variation_seed is not None:
        seeds["variation_seed"] = variation_seed
    return replace(provenance, parameters={**provenance.parameters, **seeds})


def of_one(
    provenance: Provenance,
    asked: RenderRequest,
    scores: Mapping[str, float | None],
    seeds: tuple[int, int | None],
    attempts: tuple[Attempt, ...],
) -> Provenance:
    """What made one picture of the same batch, and how it came about.

    Scores are rounded to three digits, so that equal pictures are equal files: their last digits
    go by what else is computed at the time.

    Args:
        asked: what was sent, with the fields in ``ASKED``.
        seeds: its seed and its variation seed.
        attempts: at this picture.
    """
    return replace(
        with_seed(provenance, *seeds),
        scores={name: round(score, 3) for name, score in scores.items() if score is not None},
        asked={
            name: _plain(value) if FIELDS[name].kind is float else value
            for name in ASKED
            if (value := getattr(asked, name)) != FIELDS[name].default
        },
        attempts=tuple(replace(one, structure_f1=round(one.structure_f1, 3)) for one in attempts),
    )


def stamp(png: bytes, provenance: Provenance) -> bytes:
    """`png` with its provenance in it; its pixels stay as they are encoded.

    The same arguments make the same bytes: no time and no id of a render is written.

    Raises:
        ValueError: `png` is not a PNG file.
    """
    if not png.startswith(SIGNATURE) or png[12:16] != b"IHDR":
        raise ValueError("only a PNG file can be stamped")
    creator = f"{SOFTWARE} {provenance.version}"
    added = (
        _international(KEYWORD, _to_json(provenance)),
        _international(b"XML:com.adobe.xmp", _xmp(creator, _source_type(provenance))),
        chunk(b"tEXt", b"Software\0" + creator.encode("latin-1", "replace")),
    )
    return png[:HEADER_END] + b"".join(added) + png[HEADER_END:]


def read(png: bytes) -> Provenance | None:
    """What made the picture `png`; None when it does not say, as one of another program.

    Raises:
        InvalidRequest: the file or what it says is damaged, or far larger than any render.
    """
    if len(png) > MAX_PICTURE:
        raise InvalidRequest("picture", png, f"at most {MAX_PICTURE:,} bytes", "Send a render.")
    if not png.startswith(SIGNATURE):
        return None
    try:
        for kind, data in chunks(png):
            if kind == b"iTXt" and data.startswith(KEYWORD + b"\0"):
                return _from_json(data[len(KEYWORD) + 1 :])
    except Damaged as error:
        raise _damaged(png, str(error)) from error
    return None


def _plain(value: Any) -> Any:
    several = isinstance(value, tuple)
    return tuple(map(shortest_decimal, value)) if several else shortest_decimal(value)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _held(
    used: RenderRequest, size: tuple[int, int], *, is_own: bool
) -> tuple[dict[str, bytes | None], list[bytes | None]]:
    """The sources and the caller's own references, each if there is room for it."""
    room = MAX_HELD // used.num_images

    def held(png: bytes) -> bytes | None:
        nonlocal room
        if len(png) > room:
            return None
        room -= len(png)
        return png

    drawn = used.drawn
    # What is around an image is measured in its own pixels; and what is enlarged has two sizes.
    if sum(map(len, drawn.values())) > room and not any(used.pad) and used.upscale == 1:
        drawn = {name: _at_size(png, name, size) for name, png in drawn.items()}
    sources: dict[str, bytes | None] = {name: held(png) for name, png in drawn.items()}
    return sources, [held(png) for png in used.style_images] if is_own else []


def _at_size(png: bytes, name: str, size: tuple[int, int]) -> bytes:
    picture = decode(png, name)
    # As it is scaled in a render.
    small = picture.resize(size, Resampling.NEAREST) if name == "mask" else scaled(picture, size)
    return encode_png(np.asarray(small))


def _base64(png: bytes | None) -> str | None:
    return base64.b64encode(png).decode() if png else None


def _to_json(provenance: Provenance) -> str:
    document = {
        "softwareAgent": {"name": SOFTWARE, "version": provenance.version},
        "digitalSourceType": _source_type(provenance),
        "parameters": provenance.parameters,
        "style": provenance.style,
        "style_images": [
            {**vars(image), "png": _base64(image.png)} for image in provenance.style_images
        ],
        **{
            name: {"sha256": source.sha256, "png": _base64(source.png)}
            for name, source in provenance.sources.items()
        },
        "pack": vars(provenance.pack),
        "scores": provenance.scores,
        "asked": provenance.asked,
        "attempts": [vars(one) for one in provenance.attempts],
    }
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _source_type(provenance: Provenance) -> str:
    return COMPOSITE_SOURCE_TYPE if "image" in provenance.sources else DIGITAL_SOURCE_TYPE


def _xmp(creator: str, source_type: str) -> str:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about=""'
        ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' xmp:CreatorTool="{html.escape(creator)}"'
        f' Iptc4xmpExt:DigitalSourceType="{source_type}"/>'
        "</rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    )


def _international(keyword: bytes, text: str) -> bytes:
    # Neither compressed nor translated: the one long thing in it, the sketch, is compressed itself.
    return chunk(b"iTXt", keyword + b"\0\0\0\0\0" + text.encode())


def _from_json(content: bytes) -> Provenance:
    """Read what :func:`_to_json` wrote, from its chunk after the keyword."""
    try:
        if content[:4] != b"\0\0\0\0":
            raise ValueError("the text is compressed")
        return _provenance(json.loads(content[4:]))
    except _NOT_OURS as error:
        raise _damaged(content, "what it says of itself is not what maquette writes") from error


def _provenance(found: Mapping[str, Any]) -> Provenance:
    pack, alone = found["pack"], _named(found["style"])
    sources = {name: found[name] for name in ("sketch", *SOURCES) if name in found}
    references = _typed(found["style_images"], list)
    engines, versions, digests = pack["engines"], pack.get("versions", {}), pack.get("sha256", {})
    counts = len(engines), len(versions), len(digests)
    some = sources and references
    if not some or len(references) > MAX_STYLE_IMAGES or max(counts) > MAX_ENGINES:
        raise ValueError("no render has so few or so many")
    return Provenance(
        parameters={
            name: value
            for name, field in PARAMETERS.items()
            if (value := _parameter(field, found["parameters"])) is not None
        },
        style_images=tuple(
            StyleImage(
                _checksum(image["sha256"]),
                _typed(image["weight"], float),
                _embedded(image.get("png")),
                # Older pictures say it beside their only reference.
                _named(image.get("style", alone)),
            )
            for image in references
        ),
        sources={
            name: Source(_checksum(source["sha256"]), _embedded(source["png"]))
            for name, source in sources.items()
        },
        pack=Pack(
            name=_typed(pack["name"], str),
            precision=_typed(pack["precision"], str),
            engine=_typed(pack["engine"], str),
            engines={_typed(name, str): _typed(engine, str) for name, engine in engines.items()},
            versions={_typed(name, str): _version(number) for name, number in versions.items()},
            sha256={_typed(name, str): _checksum(digest) for name, digest in digests.items()},
        ),
        version=_typed(found["softwareAgent"]["version"], str),
        scores=_numbers(found.get("scores", {})),
        asked=_numbers_and_words(found.get("asked", {})),
        attempts=_attempts(found.get("attempts", [])),
    )


def _numbers(found: Any) -> dict[str, float]:
    return {name: _typed(number, float) for name, number in _numbers_and_words(found).items()}


def _numbers_and_words(found: Any) -> dict[str, float | str]:
    if len(found) > MAX_NUMBERS:
        raise ValueError("no picture has so many numbers")
    return {
        _typed(name, str): value if isinstance(value, str) else _typed(value, float)
        for name, value in found.items()
    }


def _attempts(found: Any) -> tuple[Attempt, ...]:
    if len(_typed(found, list)) > MAX_NUMBERS:
        raise ValueError("no picture has so many attempts")
    return tuple(
        Attempt(
            attempt=_typed(one["attempt"], int),
            image=_typed(one["image"], int),
            seed=_typed(one["seed"], int),
            structure_f1=_typed(one["structure_f1"], float),
            controlnet_conditioning_scale=_typed(one["controlnet_conditioning_scale"], float),
            variation_seed=(
                None if one["variation_seed"] is None else _typed(one["variation_seed"], int)
            ),
        )
        for one in found
    )


def _version(value: Any) -> int:
    if not 1 <= _typed(value, int) < 2**31:
        raise ValueError(f"{value!r:.60} is no version")
    return int(value)


def _named(style: Any) -> str | None:
    return None if style is None else str(_typed(style, str))


def _checksum(value: Any) -> str:
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{value!r:.60} is no sha256")
    return str(value)


def _embedded(text: Any) -> bytes | None:
    if text is None:
        return None
    png = base64.b64decode(text, validate=True)
    if not isinstance(text, str) or len(png) > MAX_HELD:
        raise ValueError("a picture is larger than any that is embedded")
    return png


def _parameter(field: Field, found: Mapping[str, Any]) -> Any:
    if field.name not in found and not field.required and field.name not in ACTUAL:
        # The picture is older than the field.
        return field.default if field.before is None else field.before
    value = found[field.name]
    if not field.several:
        return _typed(value, field.kind)
    if not field.min_items <= len(_typed(value, list)) <= (field.max_items or 0):
        raise ValueError("no option has so few or so many numbers")
    return tuple(_typed(number, field.kind) for number in value)


def _typed(value: Any, kind: type) -> Any:
    """`value` if it is of `kind` and no longer than a render writes it."""
    if kind is float and type(value) in (int, float):
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{value!r:.60} is not {kind.__name__}")
    if isinstance(value, str) and len(value) > MAX_PROMPT:
        raise ValueError(f"{value!r:.60} is longer than a prompt may be")
    return value


def _damaged(found: bytes, how: str) -> InvalidRequest:
    remedy = f"The picture is damaged: {how}. Take the file that the render brought."
    return InvalidRequest("picture", found, "a picture as maquette wrote it", remedy)
