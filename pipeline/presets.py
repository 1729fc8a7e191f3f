"""Fields that stand for several others: ``fidelity`` and ``profile``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.request import DEFAULTS, STANDS_FOR, RenderRequest

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
WORK: Mapping[str, Mapping[str, Any]] = {
    "quality": {},
    "balanced": {"num_inference_steps": 10},
    "fast": {"num_inference_steps": 6},
}
"""What ``profile`` sets, beside defaults."""
FEW_STEPS: Mapping[str, Any] = {"scheduler": "lcm", "num_inference_steps": 4, "guidance_scale": 1.0}
"""What ``fast`` sets where the pack has a UNet for few steps."""


def profiles(*, few_steps: bool) -> dict[str, dict[str, Any]]:
    """The fields that each ``profile`` stands for.

    Args:
        few_steps: whether the pack has a UNet for few steps.
    """
    usual = {name: DEFAULTS[name] for name in STANDS_FOR["profile"]}
    fast = {"fast": FEW_STEPS} if few_steps else {}
    return {name: {**usual, **chosen} for name, chosen in {**WORK, **fast}.items()}


def resolved(request: RenderRequest, *, few_steps: bool) -> RenderRequest:
    """`request` with what its ``fidelity`` and its ``profile`` stand for, and without these.

    Args:
        few_steps: whether the pack has a UNet for few steps.

    Raises:
        InvalidRequest: what comes of it is not allowed with the request's other fields.
    """
    chosen = _control(request.fidelity)
    if request.profile:
        chosen |= profiles(few_steps=few_steps)[request.profile]
    if not chosen:
        return request
    presets = {"fidelity": DEFAULTS["fidelity"], "profile": DEFAULTS["profile"]}
    return replace(request, **presets, **chosen)


def _control(fidelity: float | None) -> dict[str, Any]:
    if fidelity is None:
        return {}
    knots = [*FIDELITY]
    scale, end = (
        round(float(np.interp(fidelity, knots, values)), 4)
        for values in zip(*FIDELITY.values(), strict=True)
    )
    return {
        "controlnet_conditioning_scale": scale,
        "control_guidance_start": 0.0,
        "control_guidance_end": end,
    }
