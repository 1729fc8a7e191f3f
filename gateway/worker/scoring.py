"""How near finished pictures are to what was asked for, by the retrieval pair of CLIP networks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import numpy as np

from gateway.telemetry.outcomes import Scores
from gateway.triton.inference import Inference
from pipeline.errors import MaquetteError
from pipeline.request import RenderRequest

log = logging.getLogger("maquette.gateway")


async def scored(
    inference: Inference,
    request: RenderRequest,
    pictures: Sequence[bytes],
    structure_f1: Sequence[float],
    clip: int,
) -> tuple[Scores, ...]:
    """The scores of each of `pictures`. A picture is not lost because a score is missing.

    ``clip_score`` is the cosine of prompt and picture: CLIPScore of Hessel et al. (2021) without
    its factor of 2.5 and its floor at 0. ``style_score`` is the cosine of reference and picture,
    CLIP-I of Ruiz et al. (2023, DreamBooth); of several references, the mean by their weights.

    Args:
        request: whose style is settled.
        pictures: PNG files.
        structure_f1: of each of them, known already.
        clip: the version of the pair.
    """
    try:
        text, *vectors = await asyncio.gather(
            inference.embed_text(request.words, clip),
            *(inference.embed_image(png, clip) for png in (*request.style_images, *pictures)),
        )
    except MaquetteError as error:
        log.warning("pictures have neither clip_score nor style_score: %s", error)
        return tuple(map(Scores, structure_f1))
    references = len(request.style_images)
    style = np.average(vectors[:references], axis=0, weights=request.weights)
    return tuple(
        Scores(f1, float(vector @ text), float(vector @ style))
        for f1, vector in zip(structure_f1, vectors[references:], strict=True)
    )
