"""The stage that makes the denoiser paint in few steps, and the LoRA that it leaves."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler
from safetensors.torch import save_file
from torch import Tensor

from export.networks import wrap
from export.pack import Pack
from export.pack_files import LCM_LORA
from pipeline.samplers import LCM_STEPS, NoiseSchedule, lcm
from training import consistency, dataset, networks, painting
from training.consistency import LEAP, TEACHER_STEPS, Path50, end_of_path, with_lora
from training.contrastive import build
from training.denoiser import PARTS, Conditions, Denoiser, Guided
from training.latents import FILE
from training.loop import CHECKPOINT, Plan, fit
from training.pack import trained_networks, write_pack
from training.tokenizer import make_tokenizer

SIDE = 8
EVERYWHERE = torch.arange(1, LCM_STEPS + 1)


@pytest.fixture(scope="module", autouse=True)
def small() -> object:
    """Narrow networks: what is tested does not depend on their width."""
    patch = pytest.MonkeyPatch()
    patch.setattr(networks, "CHANNELS", (16, 16, 16, 16))
    patch.setattr(networks, "VAE_CHANNELS", (8, 8, 8, 8))
    patch.setattr(painting, "WHOLE", SIDE)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def path() -> Path50:
    return Path50(networks.scheduler())


def latents(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def conditions(batch: int) -> Conditions:
    return Conditions(
        prompt_embeds=torch.randn(batch, 77, networks.TEXT_WIDTH),
        image_embeds=torch.randn(batch, 512),
        ip_adapter_scale=torch.ones(batch),
        edges=None,
        conditioning_scale=torch.ones(batch),
    )


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_what_is_found_is_what_diffusers_scheduler_finds(path: Path50, steps: int) -> None:
    scheduler = LCMScheduler.from_config(networks.scheduler().config)
    scheduler.set_timesteps(steps)
    for timestep in scheduler.timesteps:
        sample, noise_pred = latents(1, seed=1), latents(1, seed=2)
        expected = scheduler.step(noise_pred, timestep, sample).denoised
        position = (path.timesteps == timestep).nonzero()[0]
        found = path.consistent(sample, noise_pred, position)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_most_of_the_training_is_where_a_render_in_few_steps_is(path: Path50) -> None:
    schedule = NoiseSchedule.from_config(dict(networks.scheduler().config))
    nothing = np.zeros((1, 4, 2, 2), np.float32)
    sampling = lcm(schedule, consistency.FEW_STEPS, lambda: nothing)
    visited = [next(sampling)[1]]
    visited += [sampling.send(nothing)[1] for _ in range(consistency.FEW_STEPS - 1)]
    assert path.timesteps[path.few].tolist() == visited
    drawn = consistency._positions(path, 4000, random.Random(0))
    share = sum(position in path.few for position in drawn) / len(drawn)
    assert share == pytest.approx(consistency.FEW_SHARE, abs=0.05)
    assert set(drawn) == set(range(1, LCM_STEPS + 1))


def test_at_its_clean_end_the_path_is_left_as_it_is(path: Path50) -> None:
    sample, position = latents(1), torch.tensor([0])
    assert torch.equal(path.consistent(sample, latents(1, seed=3), position), sample)
    assert torch.equal(path.ddim(sample, latents(1, seed=3), position, position), sample)


def test_a_step_with_the_true_noise_stays_on_the_path(path: Path50) -> None:
    start, stop = torch.tensor([49, 30, 5]), torch.tensor([31, 0, 4])
    clean, noise = latents(3), latents(3, seed=1)
    found = path.ddim(path.noisy(clean, noise, start), noise, start, stop)
    torch.testing.assert_close(found, path.noisy(clean, noise, stop), rtol=1e-4, atol=1e-4)


def test_at_its_noisy_end_nothing_tells_of_the_picture(path: Path50) -> None:
    noise, last = latents(2), torch.tensor([LCM_STEPS, LCM_STEPS - 1])
    once, again = (path.noisy(latents(2, seed), noise, last) for seed in (1, 2))
    assert torch.equal(once[0], noise[0])
    assert torch.equal(once[0], again[0])
    assert not torch.equal(once[1], again[1])


class Oracle:
    """Knows the noise; told to ``guess``, it is wrong by that much without a prompt."""

    def __init__(self, noise: Tensor, unprompted: Conditions, guess: float = 0.0) -> None:
        self.noise, self.unprompted, self.guess = noise, unprompted, guess
        self.asked: list[list[int]] = []

    def __call__(self, _sample: Tensor, timestep: Tensor, given: Conditions) -> Tensor:
        self.asked.append(timestep.tolist())
        return self.noise + (self.guess if given is self.unprompted else 0.0)


def test_the_target_is_where_the_guided_teacher_and_then_the_student_arrive(path: Path50) -> None:
    count = len(EVERYWHERE) - 1  # the noisy end is no mixture
    clean, noise, position = latents(count), latents(count, seed=1), EVERYWHERE[:-1]
    given, nothing = conditions(count), conditions(count)
    guided = Guided(nothing, torch.full((count,), 7.5))
    sample = path.noisy(clean, noise, position)

    def target(guess: float, scale: float) -> tuple[Tensor, Oracle, Oracle]:
        teacher, student = Oracle(noise, nothing, guess), Oracle(noise, nothing)
        told = replace(guided, scale=torch.full((count,), scale))
        return end_of_path(teacher, student, path, sample, position, given, told), teacher, student

    found, teacher, student = target(guess=0.0, scale=7.5)
    torch.testing.assert_close(found, clean, rtol=1e-3, atol=1e-3)
    stops = [(position - LEAP).clamp(min=0)]
    assert student.asked == [path.timesteps[stop].tolist() for stop in stops]
    assert len(teacher.asked) == 2 * TEACHER_STEPS
    assert teacher.asked[0] == teacher.asked[1] == path.timesteps[position].tolist()
    # Under guidance 1 the unprompted prediction has no say, under 7.5 it has.
    torch.testing.assert_close(target(0.5, 1.0)[0], clean, rtol=1e-3, atol=1e-3)
    assert float((target(0.5, 7.5)[0] - clean).abs().mean()) > 0.1


def test_a_new_lora_changes_nothing_and_only_it_is_trained() -> None:
    torch.manual_seed(0)
    plain = Denoiser().eval()
    adapted = with_lora(Denoiser()).eval()
    adapted.load_state_dict(plain.state_dict(), strict=False)
    names = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert names
    assert all(name.startswith("unet.") and ".lora_" in name for name in names)
    assert not any("_ip" in name for name in names), "diffusers could not load it into a plain UNet"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the earlier stages leave it, with made-up latents and weights."""
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
    denoiser = Denoiser()
    denoiser.train_only(PARTS)
    nowhere = Plan(steps=0, batch=1, learning_rate=1.0)
    fit(denoiser, lambda _step: torch.zeros(()), nowhere, folder / "joint", "joint")
    state = {
        "network": denoiser.state_dict(),
        "trained": [name for name, _ in denoiser.named_parameters()],
        "average": {"shadow_params": [weight.detach() for weight in denoiser.parameters()]},
    }
    torch.save(state, folder / "joint" / CHECKPOINT)
    return folder


@pytest.fixture(scope="module")
def text():
    tokenizer = make_tokenizer()
    torch.manual_seed(1)
    return build(tokenizer).eval(), tokenizer


class Interrupted(Exception):
    """Stands for a power cut."""


def train(work: Path, text, monkeypatch, stop_at: int | None = None) -> dict[str, Tensor]:
    plan = Plan(steps=2, batch=2, learning_rate=0.01, warmup=1, save_every=1)
    begun = []
    draw = painting.Samples.draw

    def drawn(*arguments):
        begun.append(1)
        if len(begun) == stop_at:
            raise Interrupted
        return draw(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(painting.Samples, "draw", drawn)
        consistency.train(dataset.read(work / "train"), text, work, plan)
    return consistency.load(work)


def test_a_resumed_run_ends_with_the_lora_of_an_uninterrupted_one(
    work: Path, text, monkeypatch
) -> None:
    whole = train(work, text, monkeypatch)
    (work / consistency.STAGE).rename(work / "whole")
    with pytest.raises(Interrupted):
        train(work, text, monkeypatch, stop_at=2)
    resumed = train(work, text, monkeypatch)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    moved = [name for name, weight in whole.items() if ".lora_B." in name and weight.any()]
    assert len(moved) > len(whole) / 3
    assert len(train(work, text, monkeypatch)) == len(whole), "a finished run is left alone"


def test_a_written_pack_predicts_what_the_student_does(work: Path, text, tmp_path: Path) -> None:
    """And diffusers loads its LoRA."""
    student = with_lora(painting.load(work)).eval()
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in student.named_parameters():
            if ".lora_" in name:
                weight.normal_(std=0.1)
    lora = consistency.lora_of(student)
    made = trained_networks(networks.vae(), 0.25, painting.load(work), text[0], lora)
    write_pack(tmp_path / "tiny", made, text[1], "trained")
    pack = Pack(tmp_path / "tiny")
    plain, few = wrap("unet", pack), wrap("unet", pack.in_few_steps())
    sample, given, timestep = latents(2), conditions(2), torch.tensor([999, 259])
    inputs = (sample, timestep[:, None].float(), given.prompt_embeds,
              student.projection(given.image_embeds), torch.ones(2, 16), *residuals(2))  # fmt: skip
    with torch.no_grad():
        wanted = student(sample, timestep, given)
        torch.testing.assert_close(few(*inputs), wanted, atol=0.02, rtol=0.02)  # fp16 weights
        assert float((plain(*inputs) - wanted).abs().mean()) > 0.05

    pipeline = pack.pipeline
    pipeline.load_lora_weights(pack.folder / LCM_LORA)
    loaded = {name for name, _ in pipeline.unet.named_parameters() if ".lora_" in name}
    assert len(loaded) == len(lora)


def residuals(batch: int) -> list[Tensor]:
    """ControlNet's residuals at strength 0: three at each level's size, and the middle's."""
    sides = [SIDE >> level for level in range(4) for _ in range(3)]
    return [torch.zeros(batch, 16, side, side) for side in (*sides, sides[-1])]


def test_an_untrained_lora_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train that stage first"):
        consistency.load(tmp_path)
