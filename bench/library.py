"""Retrieval: embedding a sentence, and searching libraries of several sizes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models
from tritonclient.grpc import aio as triton

from bench.arithmetic import percentile
from bench.context import Bench
from bench.engines import inputs_of
from pipeline.topology import SD15
from retrieval.library import COLLECTION, StyleLibrary, open_library
from retrieval.styles import Style, point_id
from serving.ports import LOOPBACK


async def retrieval(bench: Bench) -> dict[str, Any]:
    """How long a prompt's vector and the search with it take."""
    encode = await _encode_seconds(bench)
    found: dict[str, Any] = {"encode_ms_p50": _milliseconds(encode, 50), "search": []}
    with TemporaryDirectory(prefix="maquette-bench-") as folder:
        for size in bench.each("searches", bench.effort.library):
            async with filled(Path(folder) / str(size), size) as library:
                seconds = await _search_seconds(library, bench.effort.searches)
            row = {f"p{share}_ms": _milliseconds(seconds, share) for share in (50, 95, 99)}
            found["search"].append({"styles": size, "searches": len(seconds), **row})
            found[f"search_{_short(size)}_ms_p95"] = row["p95_ms"]
    return found


@asynccontextmanager
async def filled(folder: Path, size: int) -> AsyncIterator[StyleLibrary]:
    """The library as it ships, in `folder`, with `size` styles of random vectors."""
    async with open_library(folder):
        pass  # makes the collection
    client = QdrantClient(path=str(folder / "qdrant"))
    try:
        client.upload_points(COLLECTION, _points(size))
    finally:
        client.close()
    async with open_library(folder) as library:
        yield library


def unit_vectors(count: int, seed: int) -> npt.NDArray[np.float32]:
    """Random directions ``[count, SD15.clip_dim]`` of length 1."""
    vectors = np.random.default_rng(seed).standard_normal((count, SD15.clip_dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _points(size: int) -> list[models.PointStruct]:
    styles = [
        Style(f"style-{n}", f"Style {n}", ("random",), "0" * 64, 256, 256) for n in range(size)
    ]
    return [
        models.PointStruct(id=point_id(style.id), vector=vector.tolist(), payload=style.payload())
        for style, vector in zip(styles, unit_vectors(size, seed=0), strict=True)
    ]


async def _search_seconds(library: StyleLibrary, searches: int) -> list[float]:
    seconds = []
    vectors = unit_vectors(searches + 1, seed=1)
    await library.search(vectors[-1], (), limit=1)
    for vector in vectors[:searches]:
        began = perf_counter()
        await library.search(vector, (), limit=1)
        seconds.append(perf_counter() - began)
    return seconds


async def _encode_seconds(bench: Bench) -> list[float]:
    """Of sentences that no cache has seen."""
    seconds = []
    address = bench.stack.triton_address
    async with triton.InferenceServerClient(address, channel_args=list(LOOPBACK)) as client:
        for number in range(bench.effort.searches + 1):
            prompt = f"house number {number} in the rain"
            text = {"text": np.array([[prompt.encode()]], object)}
            began = perf_counter()
            await client.infer("embed_text", inputs_of("embed_text", text))
            seconds.append(perf_counter() - began)
    return seconds[1:]


def _milliseconds(seconds: list[float], share: float) -> float | None:
    found = percentile(seconds, share)
    return None if found is None else round(1000 * found, 3)


def _short(size: int) -> str:
    return f"{size // 1000}k" if size >= 1000 else str(size)
