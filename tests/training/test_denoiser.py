"""The denoiser's parts, the stages that train them, and the pack they are written to."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from export.networks import wrap
from export.pack import Pack
from pipeline.images import ClipPreprocessing, clip_pixel_values
from training import dataset, networks, painting
from training.contrastive import MEAN, STD, build, pixel_values
from training.denoiser import (
    PARTS,
    Conditions,
    Denoiser,
    Guided,
    denoising_loss,
    part_of,
    training_noise,
)
from training.latents import FILE
from training.loop import Plan
from training.pack import megabytes, trained_networks, write_pack
from training.samples import Sample
from training.tokenizer import make_tokenizer

SIDE = 8


@pytest.fixture(scope="module", autouse=True)
def small() -> object:
    """Narrow networks: what is tested does not depend on their width."""
    patch = pytest.MonkeyPatch()
    patch.setattr(networks, "CHANNELS", (16, 16, 16, 16))
    patch.setattr(networks, "VAE_CHANNELS", (8, 8, 8, 8))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser()


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


def conditions(batch: int = 2, *, edges: bool = True) -> Conditions:
    hint = (torch.rand(batch, 1, 8 * SIDE, 8 * SIDE) > 0.9).float()
    return Conditions(
        prompt_embeds=torch.randn(batch, 77, networks.TEXT_WIDTH),
        image_embeds=torch.randn(batch, 512),
        ip_adapter_scale=torch.ones(batch),
        edges=hint if edges else None,
        conditioning_scale=torch.ones(batch),
    )


@pytest.mark.parametrize("part", PARTS)
def test_a_stage_moves_only_its_own_part(part: str) -> None:
    torch.manual_seed(0)
    denoiser = Denoiser()
    denoiser.train_only((part,))
    loss = denoising_loss(
        denoiser, networks.scheduler(), torch.randn(2, 4, SIDE, SIDE), conditions()
    )
    loss.backward()
    moved = {
        part_of(name) for name, weight in denoiser.named_parameters() if weight.grad is not None
    }
    assert moved == {part}


def test_a_fresh_controlnet_changes_nothing(denoiser: Denoiser) -> None:
    sample, step = torch.randn(2, 4, SIDE, SIDE), torch.tensor([10, 900])
    given = conditions()
    with torch.no_grad():
        with_it = denoiser(sample, step, given)
        without = denoiser(sample, step, Conditions(**{**vars(given), "edges": None}))
    torch.testing.assert_close(with_it, without)


def test_an_image_prompt_of_scale_zero_changes_nothing(denoiser: Denoiser) -> None:
    sample, step = torch.randn(2, 4, SIDE, SIDE), torch.tensor([10, 900])
    given = conditions(edges=False)
    other = torch.randn(2, 512)

    def predict(scale: float, image: torch.Tensor) -> torch.Tensor:
        changed = {"ip_adapter_scale": torch.full((2,), scale), "image_embeds": image}
        with torch.no_grad():
            return denoiser(sample, step, Conditions(**{**vars(given), **changed}))

    torch.testing.assert_close(predict(0, given.image_embeds), predict(0, other))
    assert not torch.allclose(predict(1, given.image_embeds), predict(1, other))


def test_a_written_pack_predicts_what_the_trained_denoiser_does(
    denoiser: Denoiser, tokenizer, tmp_path: Path
) -> None:
    made = trained_networks(networks.vae(), 0.25, denoiser, build(tokenizer))
    write_pack(tmp_path / "tiny", made, tokenizer, "trained")
    pack = Pack(tmp_path / "tiny")
    served = wrap("unet", pack)
    sample, given = torch.randn(2, 4, SIDE, SIDE), conditions(edges=False)
    with torch.no_grad():
        found = served(
            sample,
            torch.tensor([[500.0], [20.0]]),
            given.prompt_embeds,
            denoiser.projection(given.image_embeds),
            torch.ones(2, 16),
            *residuals_of(pack, sample, given),
        )
        wanted = denoiser(sample, torch.tensor([500, 20]), given)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0.02)  # fp16 weights
    assert pack.pipeline.vae.config.scaling_factor == 0.25
    assert next(pack.pipeline.unet.parameters()).dtype == torch.float32
    assert megabytes(tmp_path / "tiny") < 48


def residuals_of(pack: Pack, sample: torch.Tensor, given: Conditions) -> list[torch.Tensor]:
    """ControlNet's residuals at scale 0: zeros of the right shapes."""
    down, mid = pack.pipeline.controlnet(
        sample,
        500,
        encoder_hidden_states=given.prompt_embeds,
        controlnet_cond=torch.zeros(2, 3, 8 * SIDE, 8 * SIDE),
        conditioning_scale=0.0,
        return_dict=False,
    )
    return [*down, mid]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the earlier stages leave it, with made-up latents."""
    folder = tmp_path_factory.mktemp("work")
    data = dataset.draw(folder / "train", "train", 4, workers=1, report=lambda _count: None)
    torch.manual_seed(0)
    (folder / "latents").mkdir()
    cached = {
        "latents": torch.randn(data.count, 4, 32, 32).half(),
        "image_embeds": torch.randn(data.count, 512).half(),
        "scaling_factor": torch.tensor(0.2),
    }
    save_file(cached, folder / "latents" / FILE)
    return folder


def test_samples_line_up_with_their_pictures(work: Path, tokenizer) -> None:
    data = dataset.read(work / "train")
    stage = painting.STAGES["joint"]
    samples = painting.Samples(stage, data, (build(tokenizer), tokenizer), work, "cpu")
    clean, given = samples.draw(64, 16, random.Random(3))
    first = clean[0]
    found = [
        (index, top, left)
        for index in range(data.count)
        for top in range(17)
        for left in range(17)
        if torch.equal(samples.latents[index, :, top : top + 16, left : left + 16].float(), first)
    ]
    ((index, top, left),) = found
    edges = np.unpackbits(data.edges[index], axis=1)[8 * top :, 8 * left :][:128, :128]
    assert np.array_equal(given.edges[0, 0].numpy(), edges)
    partner = samples.image_embeds[index ^ 1].float()
    assert torch.equal(given.image_embeds[0], partner) or not given.image_embeds[0].any()
    absent = (given.image_embeds == 0).all(dim=1).float().mean()
    assert 0.15 < absent < 0.6


def test_the_guided_loss_is_that_of_the_prediction_a_render_uses(denoiser: Denoiser) -> None:
    latents, given = torch.randn(2, 4, SIDE, SIDE), conditions(edges=False)
    other = conditions(edges=False)

    def loss(scale: float, conditioned: Conditions) -> float:
        torch.manual_seed(1)
        guided = Guided(other, torch.full((2,), scale))
        with torch.no_grad():
            return float(
                denoising_loss(denoiser, networks.scheduler(), latents, conditioned, guided)
            )

    torch.manual_seed(1)
    with torch.no_grad():
        plain = float(denoising_loss(denoiser, networks.scheduler(), latents, given))
    assert loss(1, given) == pytest.approx(plain)
    assert loss(0, given) == pytest.approx(loss(0, other))
    assert loss(7.5, given) != pytest.approx(plain)


def test_samples_without_a_prompt_are_not_guided(work: Path, tokenizer) -> None:
    data = dataset.read(work / "train")
    clip = build(tokenizer).eval()
    samples = painting.Samples(painting.STAGES["joint"], data, (clip, tokenizer), work, "cpu")
    _, given = samples.draw(64, 16, random.Random(3))
    guided = samples.guided(given, 7.5)
    nothing = samples.guided(guided.unprompted, 7.5)
    assert set(nothing.scale.tolist()) == {1.0}
    assert 0.75 < (guided.scale == 7.5).float().mean() < 1
    assert not guided.unprompted.image_embeds.any()


def test_a_cut_costs_as_much_as_a_whole_picture() -> None:
    plan = Plan(steps=10, batch=4, learning_rate=1)
    crops = painting.Crops(side=16, share=0.5)
    assert [crops.at(step, plan) for step in (0, 4, 5)] == [(16, 16), (16, 16), (32, 4)]


def test_pictures_reach_the_vision_tower_as_they_are_served() -> None:
    picture = Sample.describe("train", 0).render()
    size = networks.VISION_SIZE
    served = clip_pixel_values(Image.fromarray(picture), ClipPreprocessing(size, size, MEAN, STD))
    trained = pixel_values(torch.from_numpy(picture.copy())[None])[0].numpy()
    assert np.abs(served - trained).mean() < 0.01


def test_training_noise_hides_the_mean_colour_of_a_picture_and_of_its_regions():
    torch.manual_seed(0)
    noise = training_noise(torch.Size((256, 4, 32, 32)))
    assert float(noise.mean(dim=(2, 3)).std()) > 0.25
    regions = noise.unflatten(2, (4, 8)).unflatten(4, (4, 8)).mean(dim=(3, 5))
    apart = regions - regions.mean(dim=(2, 3), keepdim=True)
    assert float(apart.std()) > 0.1
    within = noise - noise.mean(dim=(2, 3), keepdim=True)
    assert float(within.std()) == pytest.approx(1, abs=0.03)
