"""The golden set: what a candidate and the champion are both asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.cases import NEUTRAL_PROMPT, cases
from pipeline import control, fidelity, images
from pipeline.errors import NotFound
from pipeline.images import Picture
from pipeline.request import DEFAULTS

STYLE_SUFFIX = ".style"


@dataclass(frozen=True)
class Scene:
    """One render to ask for."""

    name: str
    sketch: bytes
    prompt: str
    style_image: bytes | None
    """None lets the gateway find a style that fits the prompt."""
    seed: int
    style: str | None = None
    """The style that its render must wear; None where nobody can tell."""

    def structure_f1(self, picture: Picture) -> float:
        """How well `picture` keeps the sketch's edges, 0 to 1, at the default thresholds."""
        low, high = DEFAULTS["canny_low_threshold"], DEFAULTS["canny_high_threshold"]
        height, width = picture.shape[:2]
        drawing = images.decode(self.sketch, "sketch")
        edges = control.canny(drawing, width, height, low, high)[0]
        return fidelity.structure_f1(edges, picture, low, high)


def held_out(count: int) -> list[Scene]:
    """The first `count` held-out scenes of the evaluation; the styles come in turn."""
    asks = [(case.style, case.ask()) for case in cases(count)]
    return [
        Scene(f"scene-{ask.seed}", ask.sketch, ask.prompt, ask.style_images[0], ask.seed, style)
        for style, ask in asks
    ]


def of_folder(folder: Path, count: int | None = None) -> list[Scene]:
    """The sketches in `folder`, by name; the first `count` of them if given.

    ``house.png`` is a sketch; beside it may lie ``house.txt``, its prompt, and
    ``house.style.png``, its style picture.

    Raises:
        NotFound: there is no sketch, or a file cannot be read.
        InvalidRequest: a picture is none.
    """
    sketches = sorted(path for path in folder.glob("*.png") if _is_sketch(path))
    if not sketches:
        raise NotFound(f"No sketch in {folder}. Put in NAME.png, NAME.txt and NAME.style.png.")
    try:
        return [_scene(path, seed) for seed, path in enumerate(sketches[:count])]
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"A file of the golden set in {folder} cannot be read: {error}.") from error


def decoded(encoded: bytes) -> Picture:
    """An encoded picture as ``[height, width, 3]``."""
    return np.asarray(images.decode(encoded, "render"))


def _is_sketch(path: Path) -> bool:
    return not path.stem.endswith(STYLE_SUFFIX)


def _scene(path: Path, seed: int) -> Scene:
    prompt, style = path.with_suffix(".txt"), path.with_suffix(f"{STYLE_SUFFIX}.png")
    return Scene(
        path.stem,
        _picture(path),
        prompt.read_text(encoding="utf-8").strip() if prompt.exists() else NEUTRAL_PROMPT,
        _picture(style) if style.exists() else None,
        seed,
    )


def _picture(path: Path) -> bytes:
    data = path.read_bytes()
    images.decode(data, str(path))
    return data
