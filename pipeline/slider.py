"""``fidelity``: one slider for how firmly a render is held to its sketch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipeline.request import RenderRequest

FIDELITY = {
    0.0: (0.0, 0.5),
    0.25: (0.5, 0.75),
    0.5: (1.0, 1.0),
    0.75: (1.5, 1.0),
    1.0: (2.0, 1.0),
}
"""``controlnet_conditioning_scale`` and ``control_guidance_end`` by ``fidelity``; between two rows
both are interpolated. ``control_guidance_start`` is 0. The fourth row is what is painted without
it. The studio's slider does the same."""


def resolved(request: RenderRequest) -> RenderRequest:
    """`request` with the three fields that its ``fidelity`` stands for, and without that."""
    if request.fidelity is None:
        return request
    knots = [*FIDELITY]
    scale, end = (
        round(float(np.interp(request.fidelity, knots, values)), 4)
        for values in zip(*FIDELITY.values(), strict=True)
    )
    return replace(
        request,
        fidelity=None,
        controlnet_conditioning_scale=scale,
        control_guidance_start=0.0,
        control_guidance_end=end,
    )
