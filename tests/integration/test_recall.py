"""`maquette recall`: renders of all kinds come back pixel for pixel; twenty in a long run."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image
from typer.testing import CliRunner

from maquette.__main__ import app
from pipeline.request import DEFAULTS, PROFILES, STANDS_FOR
from pipeline.samplers import SAMPLERS
from pipeline.topology import STYLE_MODES
from tests.amounts import sample
from tests.conftest import ROOT
from tests.pictures import encoded

SKETCHES = sorted((ROOT / "examples/sketches").glob("*.png"))
BLENDED = ("winter", "cyberpunk")
PROMPTS = (
    "a villa in winter",
    "red brick factory",
    "timber house by a lake, évening",
    "a (neon:1.3) tower [in fog] BREAK at night",
    "a tower of glass, steel and light, " * 10,
)


def drawn(number):
    """A render at random, the same one each time."""
    pick = random.Random(number)
    request = {
        "sketch": pick.choice(SKETCHES).read_bytes(),
        "prompt": pick.choice(PROMPTS),
        "negative_prompt": pick.choice(("", "people")),
        "style": pick.choice(("", "winter", "cyberpunk")),
        "num_inference_steps": pick.randint(1, 4),
        "guidance_scale": pick.choice((1.0, 7.5, round(pick.uniform(0, 12), 3))),
        "controlnet_conditioning_scale": round(pick.uniform(0.5, 2), 4),
        "guidance_end": pick.choice((1.0, 0.5)),
        "sketch_kind": pick.choice(("auto", "photo", "clean")),
        "control_mode": pick.choice(("canny", "lines")),
        "prompt_syntax": pick.choice(("weighted", "plain")),
        "control_guidance_end": pick.choice((1.0, 0.7)),
        "ip_adapter_scale": [pick.random() for _ in range(pick.choice((1, 16)))],
        "scheduler": pick.choice(sorted(SAMPLERS)),
        "canny_low_threshold": pick.randint(10, 60),
        "num_images": pick.choice((1, 1, 2)),
    }
    if pick.random() < 0.3:
        request["width"], request["height"] = pick.choice(((192, 256), (320, 192)))
    if pick.random() < 0.7:
        request["seed"] = pick.randrange(2**32)
    if number % 5 == 1:
        styles = [(ROOT / f"examples/styles/{name}.png").read_bytes() for name in BLENDED]
        own = [styles[0], encoded(Image.open(io.BytesIO(styles[1])).convert("RGB"), "JPEG")]
        request |= {"style": "", "style_images": own, "style_weights": [0.3, 0.7]}
    if number % 5 == 0:
        request |= {"style": "", "style_count": 3}
        request |= {"style_mode": pick.choice(STYLE_MODES), "style_end": 0.75}
    if number % 5 == 4:
        request |= {"style": "", "styles": BLENDED, "style_weights": [0.1, 0.7]}
    if number % 5 == 2:
        request["sketch"] = photo()
    if number % 4 == 0:
        request |= {"structure_min": 0.98, "max_attempts": pick.choice((2, 3))}
    if number % 4 == 2:
        stood_for = {*STANDS_FOR["fidelity"], *STANDS_FOR["profile"]}
        request |= {name: DEFAULTS[name] for name in stood_for}
        request |= {"fidelity": round(pick.random(), 3), "profile": pick.choice(PROFILES)}
    if number % 5 >= 3:
        request |= begun_with_a_picture(repaints=number % 5 == 3)
    if number % 5 in (0, 4):
        # Also of what is refined before.
        request |= {"upscale": 2, "num_inference_steps": 3, "width": 128, "height": 192}
    return request


def begun_with_a_picture(*, repaints):
    """Fields of a render that goes on from a picture: all of it under a sketch, or a part alone."""
    image = (ROOT / "examples/styles/ghibli.png").read_bytes()
    if not repaints:
        return {"image": image, "strength": 0.75, "num_inference_steps": 4}
    mask = Image.new("L", Image.open(io.BytesIO(image)).size)
    mask.paste(255, (0, 0, mask.width // 2, mask.height))
    return {
        "sketch": b"", "image": image, "mask": encoded(mask), "mask_blur": 3,
        "variation_seed": 5, "variation_strength": 0.3,
    }  # fmt: skip


def photo():
    """A large JPEG, of which a picture has no room for every pixel."""
    view = Image.effect_noise((1500, 1200), 90).convert("RGB")
    view.paste(Image.open(SKETCHES[0]).convert("RGB").resize((900, 900)), (300, 150))
    return encoded(view, "JPEG", quality=90)


@pytest.mark.parametrize("number", sample(range(20), {0, 1, 2, 3, 4}))
def test_a_random_render_is_recalled(live, stub, request_for, tmp_path, number):
    wanted = request_for(**drawn(number))
    if "seed" not in drawn(number):
        wanted.ClearField("seed")
    picture = stub.Render(wanted).images[-1]
    (tmp_path / "render.png").write_bytes(picture.png)
    again = tmp_path / "again.png"
    command = ["recall", str(tmp_path / "render.png"), "--out", str(again)]
    told = CliRunner().invoke(app, [*command, "--server", live.address])
    assert told.exit_code == 0, told.output
    assert told.output.rstrip().endswith("identical")
    assert Image.open(again).tobytes() == Image.open(io.BytesIO(picture.png)).tobytes()
