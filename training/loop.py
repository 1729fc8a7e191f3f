"""The training loop that every stage shares: autocast, EMA, checkpoints, a progress bar."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"


@dataclass(frozen=True)
class Plan:
    """How long and how fast one stage trains."""

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100
    ema_decay: float = 0.995
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    device: str = "cpu"
    save_every: int = 100

    def seed_at(self, step: int) -> int:
        """The seed of everything that chance decides in `step`.

        It stays small: torch's generator on the CPU reads the lower 32 bits only.
        """
        return self.seed * 1_000_003 + step

    def rate(self, step: int) -> float:
        """The learning rate at `step`: linear warm-up, then half a cosine down to a fiftieth."""
        rise = min(1.0, (step + 1) / self.warmup)
        fall = 0.5 + 0.5 * math.cos(math.pi * step / self.steps)
        return self.learning_rate * rise * max(fall, 0.02)


def fit(
    network: nn.Module, loss: Callable[[int], Tensor], plan: Plan, folder: Path, title: str
) -> None:
    """Train `network`'s parameters that want gradients, and leave their average in it.

    Interrupt it and call it again: it goes on from the last checkpoint, and ends with the weights
    of a run that was never interrupted. For that, every step seeds torch's generator anew and the
    loss draws all its chances from there; so a checkpoint need not hold a generator's state.

    Args:
        network: already on ``plan.device``.
        loss: called with the step; what it returns is minimised.
        folder: where the checkpoint and the log are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(
        weights,
        plan.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=plan.weight_decay,
        fused=True,
    )
    average = EMAModel(weights, decay=plan.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    step = _resume(folder / CHECKPOINT, network, optimizer, average, plan)
    network.train()
    with _progress() as progress:
        task = progress.add_task(title, total=plan.steps, completed=step, loss=0.0)
        recent = Recent()
        while step < plan.steps:
            recent.add(_step(loss, step, weights, optimizer, plan))
            average.step(weights)
            step += 1
            progress.update(task, completed=step, loss=recent.mean)
            if step % plan.save_every == 0 or step == plan.steps:
                _save(folder / CHECKPOINT, network, optimizer, average, step)
                _log(
                    folder / LOG,
                    step=step,
                    loss=round(recent.mean, 5),
                    at=time.strftime("%H:%M:%S"),
                )
    average.copy_to(weights)
    network.eval()


def _step(
    loss: Callable[[int], Tensor],
    step: int,
    weights: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    plan: Plan,
) -> Tensor:
    torch.manual_seed(plan.seed_at(step))
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(step)
    with torch.autocast(torch.device(plan.device).type, dtype=torch.bfloat16):
        value = loss(step)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    torch.nn.utils.clip_grad_norm_(weights, plan.clip)
    optimizer.step()
    return value.detach()


class Recent:
    """The mean loss of the last steps, read from the device only now and then."""

    def __init__(self, every: int = 20) -> None:
        self.every, self.mean = every, 0.0
        self.waiting: list[Tensor] = []

    def add(self, value: Tensor) -> None:
        self.waiting.append(value)
        if len(self.waiting) == self.every:
            self.mean = float(torch.stack(self.waiting).mean())
            self.waiting.clear()


def load_average(network: nn.Module, folder: Path) -> None:
    """Fill `network` with the averaged weights of the checkpoint in `folder`.

    Raises:
        FileNotFoundError: that stage has not been trained.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no checkpoint; train that stage first")
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(saved["network"])
    names = saved["trained"]
    weights = dict(network.named_parameters())
    with torch.no_grad():
        for name, averaged in zip(names, saved["average"]["shadow_params"], strict=True):
            weights[name].copy_(averaged)


def _resume(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: EMAModel,
    plan: Plan,
) -> int:
    if not path.exists():
        return 0
    saved = torch.load(path, map_location=plan.device, weights_only=True)
    network.load_state_dict(saved["network"])
    optimizer.load_state_dict(saved["optimizer"])
    average.load_state_dict(saved["average"])
    average.to(plan.device)
    average.decay = plan.ema_decay
    return int(saved["step"])


def _save(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: EMAModel, step: int
) -> None:
    """Write beside the old checkpoint first, so an interruption cannot leave half of one."""
    state = {
        "network": network.state_dict(),
        "trained": [name for name, weight in network.named_parameters() if weight.requires_grad],
        "optimizer": optimizer.state_dict(),
        "average": average.state_dict(),
        "step": step,
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _log(path: Path, **values: Any) -> None:
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
