"""What a pack can do on held-out scenes, looks and phrases, measured in torch without Triton."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from export.pack import Pack
from pipeline import control, fidelity, images
from pipeline.render import Rendered, render
from pipeline.request import DEFAULTS, RenderRequest
from pipeline.samplers import NoiseSchedule
from training.bundled import style_pictures
from training.draw import draw_sketch
from training.phrases import PHRASES
from training.reference import TorchInfer
from training.samples import SIDE, Bytes, Sample
from training.styles import STYLES
from training.stylometry import Stylometer

NEUTRAL_PROMPT = "a building"


@dataclass(frozen=True)
class Case:
    """One held-out render: a sketch, a prompt, and a style picture of another building."""

    style: str
    request: RenderRequest
    truth: Bytes
    reference: Bytes


def cases(count: int, guidance_scale: float) -> list[Case]:
    """`count` held-out cases, every style in turn."""
    return [_case(index, guidance_scale) for index in range(count)]


def _case(index: int, guidance_scale: float) -> Case:
    sample, partner = (Sample.describe("held_out", 2 * index + i) for i in (0, 1))
    style = STYLES[sample.style]
    phrases = PHRASES[style.name].held_out
    reference = partner.render()
    request = RenderRequest(
        sketch=images.encode_png(np.asarray(draw_sketch(sample.scene, 2 * SIDE))),
        prompt=phrases[index // len(STYLES) % len(phrases)],
        style_images=(images.encode_png(reference),),
        seed=index,
        guidance_scale=guidance_scale,
    )
    return Case(style.name, request, sample.render(), reference)


class Evaluation:
    """Renders cases over a pack and scores them."""

    def __init__(self, pack: Pack, device: str) -> None:
        self.infer = TorchInfer(pack, device)
        self.schedule = NoiseSchedule.from_config(pack.scheduler_config())
        self.native_size = int(pack.facts()["native_size"])
        self.stylometer = Stylometer.bundled()

    async def render(self, request: RenderRequest) -> Rendered:
        """One render, as the served model would do it."""

        async def ignore(_step: int) -> None:
            pass

        return await render(self.infer, request, self.schedule, self.native_size, ignore)

    def through_vae(self, truth: Bytes) -> Bytes:
        """`truth` encoded and decoded: the best that any denoiser could paint."""
        pixels = (truth.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
        latents = self.infer.run("vae_encoder", pixels=pixels)
        return images.from_pixels(self.infer.run("vae_decoder", **latents)["pixels"][0])

    def structure_f1(self, case: Case, picture: Bytes) -> float:
        """How well `picture` keeps the case's sketch."""
        sketch = images.decode(case.request.sketch, "sketch")
        low, high = DEFAULTS["canny_low_threshold"], DEFAULTS["canny_high_threshold"]
        edges = control.canny(sketch, SIDE, SIDE, low, high)[0]
        return fidelity.structure_f1(edges, picture, low, high)

    def retrieval(self) -> dict[str, float]:
        """Held-out phrases and looks against the bundled style pictures, by CLIP."""
        library = self._embed_pictures(style_pictures())
        phrases = [(i, p) for i, style in enumerate(STYLES) for p in PHRASES[style.name].held_out]
        ids = self.infer.token_ids([phrase for _, phrase in phrases])
        texts = self.infer.run("clip_text", input_ids=ids)["text_embedding"]
        looks = [Sample.describe("held_out", 1 + 2 * index) for index in range(120)]
        pictures = self._embed_pictures([Image.fromarray(sample.render()) for sample in looks])
        text_styles = np.array([index for index, _ in phrases])
        return {
            "text_top1": _top(texts @ library.T, text_styles, 1),
            "text_top3": _top(texts @ library.T, text_styles, 3),
            "image_top1": _top(pictures @ library.T, np.array([s.style for s in looks]), 1),
            "phrases": float(len(phrases)),
        }

    def _embed_pictures(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        rows = [self.infer.picture(images.encode_png(np.asarray(one))) for one in pictures]
        return self.infer.run("clip_image", pixel_values=np.stack(rows))["image_embedding"]


def _top(scores: npt.NDArray[np.float32], wanted: npt.NDArray[np.int64], count: int) -> float:
    best = np.argsort(-scores, axis=1)[:, :count]
    return float((best == wanted[:, None]).any(axis=1).mean())


def variants(case: Case, index: int) -> dict[str, RenderRequest]:
    """The questions asked of one case, by the name of their measure."""
    other = STYLES[(index + 5) % len(STYLES)].name
    request = case.request
    return {
        "default": request,
        "no_control": replace(request, controlnet_conditioning_scale=0.0),
        "no_ip": replace(request, ip_adapter_scale=(0.0,), prompt=NEUTRAL_PROMPT),
        "conflict": replace(request, prompt=PHRASES[other].held_out[0]),
    }


async def evaluate(
    evaluation: Evaluation,
    renders: int,
    extra: int,
    guidance_scale: float,
    sheet: Path,
    report: Callable[[int], None],
) -> dict[str, Any]:
    """The measures of a pack over `renders` held-out cases; `extra` of them with variants.

    Args:
        sheet: the contact sheet to write: sketch, style, render, and the VAE's best.
        report: told after each render.
    """
    found: dict[str, list[float]] = {}
    rows, seconds = [], time.perf_counter()
    for index, case in enumerate(cases(renders, guidance_scale)):
        asked = variants(case, index)
        for name in asked if index < extra else ("default",):
            picture = _picture(await evaluation.render(asked[name]))
            found.setdefault(f"f1_{name}", []).append(evaluation.structure_f1(case, picture))
            right = evaluation.stylometer.style_of(picture) == case.style
            found.setdefault(f"style_{name}", []).append(float(right))
            if name == "default":
                best = evaluation.through_vae(case.truth)
                found.setdefault("f1_vae", []).append(evaluation.structure_f1(case, best))
                found.setdefault("f1_truth", []).append(evaluation.structure_f1(case, case.truth))
                rows.append((_picture_of(case.request.sketch), case.reference, picture, best))
            report(1)
    write_sheet(rows, sheet)
    measures: dict[str, Any] = {name: float(np.mean(values)) for name, values in found.items()}
    taken = sum(len(values) for name, values in found.items() if name.startswith("style_"))
    return {
        "structure_f1": measures["f1_default"],
        "structure_f1_vae": measures["f1_vae"],
        "structure_f1_truth": measures["f1_truth"],
        "structure_f1_no_control": measures.get("f1_no_control"),
        "style_accuracy": measures["style_default"],
        "style_accuracy_no_ip": measures.get("style_no_ip"),
        "reference_wins": measures.get("style_conflict"),
        **evaluation.retrieval(),
        "renders": renders,
        "renders_of_variants": extra,
        "guidance_scale": guidance_scale,
        "size": SIDE,
        "seconds_per_render": (time.perf_counter() - seconds) / taken,
    }


def _picture(rendered: Rendered) -> Bytes:
    return _picture_of(rendered.images[0])


def _picture_of(data: bytes) -> Bytes:
    return np.asarray(images.decode(data, "image").resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def write_sheet(rows: Sequence[tuple[Bytes, ...]], path: Path) -> None:
    """A contact sheet, three cases in a line."""
    strips = [np.concatenate(row, axis=1) for row in rows]
    while len(strips) % 3:
        strips.append(np.full_like(strips[0], 255))
    lines = [np.concatenate(strips[i : i + 3], axis=1) for i in range(0, len(strips), 3)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(lines)).save(path)
