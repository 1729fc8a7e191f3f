"""From published layouts to a served picture: one file, IP-Adapter Plus, a fused LoRA, and the
safety checker that such a pack may have."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import InferenceServerClient, InferInput

from export.asked import Build
from export.checkpoints import random
from export.engines import export_pack
from export.networks import wrap
from export.onnx import run_torch
from export.pack import Pack
from maquette.v1 import maquette_pb2 as pb
from pipeline import contract
from tests.amounts import long
from tests.conftest import ROOT
from tests.integration.reference import by_diffusers, picture, pixels
from tests.integration.stack import live_stack, ready_models, stub_of
from tests.pictures import encoded

# Ten networks are exported before the first. tests/export/checkpoints makes the same in torch.
pytestmark = [pytest.mark.timeout(900), long]

EXAMPLES = ROOT / "examples"

PROMPT, NEGATIVE = "watercolour library with arched windows", "neon, night"


@pytest.fixture(scope="module")
def pack(assembled, checkpoints, tmp_path_factory):
    """A single file brings no safety checker; one is put beside what it brings."""
    made = assembled(
        base=random.SINGLE_FILE,
        ip_adapter=f"{random.IP_ADAPTER}/ip-adapter-plus_sd15.bin",
        lora=random.LORA,
    )
    folder = shutil.copytree(made.folder, tmp_path_factory.mktemp("packs") / "checked")
    shutil.copytree(checkpoints / random.SAFETY_CHECKER, folder / "safety_checker")
    return Pack(folder)


@pytest.fixture(scope="module")
def stack(pack, tmp_path_factory):
    """A stack of its own, over a repository of its own."""
    folder = tmp_path_factory.mktemp("small")
    outcomes = list(export_pack(pack, folder / "repository", Build(), report=lambda _doing: None))
    assert all(outcome.parity.passed for outcome in outcomes)
    options = ("--repository", str(folder / "repository"), "--no-bundled-styles")
    with live_stack(folder / "state", *options) as stack:
        yield stack


@pytest.fixture(scope="module")
def stub(stack):
    with stack.channel() as channel:
        yield stub_of(channel)


@pytest.fixture
def triton(stack):
    with InferenceServerClient(stack.triton_address) as client:
        yield client


@pytest.mark.parametrize(
    ("scheduler", "options"),
    [
        ("ddim", {"guidance_scale": 7.5}),
        ("lcm", {"guidance_scale": 1.5}),
        ("lcm", {"guidance_scale": 1.0}),
    ],
)
def test_the_served_picture_equals_diffusers(stub, pack, sketch, style_image, scheduler, options):
    shared = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": 5, "width": 192,
              "height": 128, **options}  # fmt: skip
    expected = by_diffusers(
        pack.pipeline, sketch, scheduler, 4, ip_adapter_image=picture(style_image), **shared
    )
    answer = stub.Render(
        pb.RenderRequest(
            sketch=sketch, style_images=[style_image], num_inference_steps=4, scheduler=scheduler,
            **shared,
        )
    )  # fmt: skip
    found = pixels(answer.images[0].png)
    assert found.shape == expected.shape
    assert expected.std() > 10, "a flat picture would prove nothing"
    assert np.abs(found - expected).max() <= 2


def test_all_sixteen_tokens_are_served(stub, pack, sketch, style_image):
    """The picture of the style counts, through the tokens of Plus."""
    pictures = []
    for style in (style_image, encoded(Image.new("RGB", (64, 64), (200, 30, 30)))):
        answer = stub.Render(
            pb.RenderRequest(
                sketch=sketch, prompt=PROMPT, style_images=[style], num_inference_steps=2, seed=1
            )
        )
        pictures.append(pixels(answer.images[0].png))
    assert np.abs(pictures[0] - pictures[1]).max() > 2


def test_the_served_safety_checker_says_what_diffusers_says(triton, pack):
    assert ready_models(triton) == set(contract.MODELS) - {"denoiser_lcm"}
    pictures = [path.read_bytes() for path in sorted(EXAMPLES.glob("*/*.png"))]
    rows = np.array(pictures[: contract.BATCH_LIMIT], np.object_)[:, None]
    (image,) = contract.MODELS["check_image"].inputs
    tensor = InferInput(image.name, rows.shape, image.dtype).set_data_from_numpy(rows)
    margins = triton.infer("check_image", [tensor]).as_numpy("unsafe")
    decoded = [picture(row) for row in rows[:, 0]]
    seen = pack.pipeline.feature_extractor(decoded, return_tensors="pt").pixel_values
    wanted = run_torch(wrap("safety_checker", pack), {"pixel_values": seen})[0]
    _, said = pack.safety_checker(seen, np.zeros((len(rows), 8, 8, 3)))
    assert {True, False} == set(said), "of one kind they would prove little"
    assert margins.dtype == np.float32
    np.testing.assert_allclose(margins, wanted, atol=1e-5)
    np.testing.assert_array_equal(margins[:, 0] > 0, said)
