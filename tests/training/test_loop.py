"""The training loop: interrupted or not, the same weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.loop import Plan, fit, load_average

PLAN = Plan(steps=8, batch=4, learning_rate=0.05, warmup=2, save_every=4)


class Interrupted(Exception):
    """Stands for a power cut."""


def miniature() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def run(folder: Path, plan: Plan = PLAN, stop_at: int | None = None) -> nn.Linear:
    network = miniature()

    def loss(step: int) -> Tensor:
        if step == stop_at:
            raise Interrupted
        points = torch.randn(plan.batch, 3)
        return (network(points) - points.sum(dim=1, keepdim=True)).square().mean()

    fit(network, loss, plan, folder, "miniature")
    return network


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "cut", stop_at=6)
    resumed = run(tmp_path / "cut")
    assert torch.equal(whole.weight, resumed.weight)
    assert torch.equal(whole.bias, resumed.bias)
    assert not torch.equal(whole.weight, miniature().weight)


def test_another_seed_trains_other_weights(tmp_path: Path) -> None:
    one, other = run(tmp_path / "a"), run(tmp_path / "b", replace(PLAN, seed=1))
    assert not torch.equal(one.weight, other.weight)


def test_the_average_is_what_is_kept(tmp_path: Path) -> None:
    trained = run(tmp_path)
    loaded = miniature()
    load_average(loaded, tmp_path)
    last = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["network"]["weight"]
    assert torch.equal(loaded.weight, trained.weight)
    assert not torch.equal(loaded.weight, last)


def test_frozen_weights_stay(tmp_path: Path) -> None:
    network = miniature()
    network.bias.requires_grad_(False)
    before = network.bias.clone()

    fit(network, lambda _step: network(torch.ones(1, 3)).square().mean(), PLAN, tmp_path, "frozen")
    assert torch.equal(network.bias, before)


def test_an_untrained_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="train that stage first"):
        load_average(miniature(), tmp_path)


def test_the_rate_rises_then_falls() -> None:
    plan = Plan(steps=100, batch=1, learning_rate=1.0, warmup=10)
    rates = [plan.rate(step) for step in range(100)]
    assert rates[0] < rates[9] > rates[50] > rates[99] > 0
