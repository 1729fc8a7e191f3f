"""Pictures of every format with every kind of metadata, changed at random: always the same ones."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from itertools import cycle, islice

from PIL import Image, ImageCms, PngImagePlugin

from pipeline import png
from tests.pictures import encoded

DRAWN = Image.effect_noise((64, 48), 80).convert("RGB")
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<rdf:Description tiff:Orientation="6"/>'


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Camera"
    exif[0x011A] = 72.0
    exif.get_ifd(0x8769)[0x9003] = "2026:11:30 12:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    return exif


def _several(kind: str) -> bytes:
    """A stereo photo (MPF) or an animation."""
    file = io.BytesIO()
    DRAWN.save(file, kind, save_all=True, append_images=[DRAWN.rotate(180)], exif=_exif())
    return file.getvalue()


def _texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "{}" * 2000, zip=True)
    info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    info.add_text("Raw profile type exif", "\nexif\n 8\n45786966")
    return info


def originals() -> list[bytes]:
    """Small pictures, with all that a file may say beside its pixels."""
    told = {"exif": _exif(), "icc_profile": ICC}
    translucent = DRAWN.convert("RGBA")
    translucent.putalpha(120)
    return [
        encoded(DRAWN, "JPEG", **told, xmp=XMP, comment="house"),
        encoded(DRAWN, "JPEG", **told, progressive=True, dpi=(72, 72)),
        encoded(DRAWN.convert("CMYK"), "JPEG", exif=_exif()),
        encoded(DRAWN.convert("L"), "JPEG", exif=_exif(), restart_marker_blocks=2),
        _several("MPO"),
        encoded(DRAWN, "PNG", **told, pnginfo=_texts(), dpi=(72, 72)),
        encoded(DRAWN.quantize(7), "PNG", **told, transparency=2),
        encoded(translucent, "PNG", exif=_exif()),
        encoded(DRAWN.convert("L"), "PNG", exif=_exif(), transparency=9),
        encoded(DRAWN.convert("I;16"), "PNG", exif=_exif()),
        _several("PNG"),
        encoded(DRAWN, "WEBP", **told, xmp=XMP),
        encoded(translucent, "WEBP", exif=_exif(), lossless=True),
        _several("WEBP"),
    ]


def mutated(count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` pictures, each changed in up to eight places."""
    chance = random.Random(seed)
    for original in islice(cycle(originals()), count):
        data = bytearray(original)
        for _ in range(chance.choice([1, 1, 2, 8])):
            _change(data, chance)
        changed = bytes(data)
        yield _with_checksums(changed) if chance.random() < 0.7 else changed


def _change(data: bytearray, chance: random.Random) -> None:
    # Half of the time near the beginning, where metadata is.
    at = chance.randrange(min(len(data), chance.choice([400, len(data)])) or 1)
    match chance.randrange(6):
        case 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        case 1:
            data[at : at + 1] = bytes([data[at] ^ 1 << chance.randrange(8)]) if data else b""
        case 2:
            data[at : at + 4] = struct.pack(
                chance.choice("<>") + "I", chance.choice([0, 1, 2**16, 2**31, 2**32 - 1])
            )
        case 3:
            del data[at : at + chance.randrange(1, 30)]
        case 4:
            data[at:at] = chance.randbytes(chance.randrange(1, 30))
        case 5:
            other = chance.randrange(len(data) or 1)
            data[at : at + 40] = data[other : other + 40]
    if chance.random() < 0.03:
        del data[at:]


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose chunks are whole again, so that what they hold is looked at."""
    if not data.startswith(png.SIGNATURE):
        return data
    made, at = [png.SIGNATURE], len(png.SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        made.append(png.chunk(kind, data[at + 8 : at + 8 + min(length, len(data))]))
        at += 12 + length
    return b"".join(made)
