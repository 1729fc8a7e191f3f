"""The training pictures on disk: drawn once, by every core, and read as memory maps."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.samples import SIDE, Bytes, Sample, Split
from training.styles import STYLES

CHUNK = 64
READ = "c"
"""Copy on write: the files stay as they are, and torch takes the arrays without a warning."""
_SHAPES = {"pixels": (SIDE, SIDE, 3), "edges": (SIDE, SIDE // 8)}


@dataclass(frozen=True)
class Dataset:
    """`count` samples of one split. Sample ``i ^ 1`` wears the look of sample ``i``."""

    folder: Path
    split: Split
    count: int

    @property
    def pixels(self) -> Bytes:
        """``[count, 256, 256, 3]`` RGB."""
        return _open(self.folder, "pixels", self.count, READ)

    @property
    def edges(self) -> Bytes:
        """``[count, 256, 32]``: eight pixels in a byte, as ``numpy.packbits`` packs them."""
        return _open(self.folder, "edges", self.count, READ)

    @property
    def styles(self) -> npt.NDArray[np.int64]:
        """``[count]`` indices into ``STYLES``."""
        return (np.arange(self.count) // 2) % len(STYLES)


def read(folder: Path) -> Dataset:
    """The data set that :func:`draw` left in `folder`.

    Raises:
        FileNotFoundError: it was not finished, or never begun.
    """
    facts = folder / "dataset.json"
    if not facts.exists():
        raise FileNotFoundError(f"{folder} holds no data set; run `python -m training data`")
    return Dataset(folder=folder, **json.loads(facts.read_text()))


def draw(
    folder: Path, split: Split, count: int, workers: int, report: Callable[[int], None]
) -> Dataset:
    """Draw `count` samples with `workers` processes; `report` is told how many more are done.

    An even `count` keeps pairs whole. A data set that is already there and as asked is kept.
    """
    facts = folder / "dataset.json"
    wanted = {"split": split, "count": count}
    if facts.exists() and json.loads(facts.read_text()) == wanted:
        report(count)
        return read(folder)
    facts.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _SHAPES:
        _open(folder, name, count, "w+")
    starts = range(0, count, CHUNK)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_draw_chunk, folder, split, count, start) for start in starts]
        for job in jobs:
            report(job.result())
    facts.write_text(json.dumps(wanted))
    return read(folder)


def _draw_chunk(folder: Path, split: Split, count: int, start: int) -> int:
    pixels, edges = (_open(folder, name, count, "r+") for name in _SHAPES)
    end = min(start + CHUNK, count)
    for index in range(start, end):
        sample = Sample.describe(split, index)
        pixels[index] = sample.render()
        edges[index] = np.packbits(sample.edges() > 0, axis=1)
    return end - start


def _open(folder: Path, name: str, count: int, mode: str) -> Bytes:
    shape = (count, *_SHAPES[name])
    return np.memmap(folder / f"{name}.u8", np.uint8, mode, shape=shape)  # type: ignore[call-overload]
