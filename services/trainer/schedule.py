"""What changes from step to step, and the optimiser that it changes."""

import math

import torch
from torch import nn

from services.trainer.config import OptimiserConfig, TrainConfig


def learning_rate(config: TrainConfig, global_step: int, epoch: float) -> float:
    """The rate of one step: linear warm-up, then constant or half a cosine (Loshchilov and Hutter, SGDR, 2017).

    ``global_step`` steps are done, and ``epoch`` epochs with the part of the present one. The cosine begins at the
    first step and is 0 at the end, after the last; with a restart there are two, each over its part.
    """
    schedule = config.schedule
    restart = schedule.restart_at * schedule.epochs
    factor = min(1.0, (global_step + 1) / schedule.warmup_steps) if schedule.warmup_steps else 1.0
    begin, end = 0.0, restart
    if schedule.restart_at < 1 and epoch >= restart:
        factor, begin, end = schedule.restart_factor, restart, float(schedule.epochs)
    if schedule.decay == "cosine":
        factor *= 0.5 * (1 + math.cos(math.pi * (epoch - begin) / (end - begin)))
    return config.optimiser.lr * factor


def image_size(config: TrainConfig, epoch: int) -> int:
    """The side of the images in this epoch, in pixels."""
    begun = [side for share, side in config.schedule.sides if epoch >= share * config.schedule.epochs]
    return begun[-1] if begun else config.input_size


def make_optimiser(module: nn.Module, config: OptimiserConfig) -> torch.optim.Optimizer:
    """The optimiser over all parameters. Vectors (biases, normalisation) are not decayed by ``adamw``.

    ``sgd`` takes the first of the betas as Nesterov's momentum.
    """
    named = [parameter for parameter in module.parameters() if parameter.requires_grad]
    match config.name:
        case "adam":
            return torch.optim.Adam(
                named, lr=config.lr, betas=config.betas, eps=config.eps, weight_decay=config.weight_decay
            )
        case "adamw":
            groups = [
                {"params": [p for p in named if p.ndim > 1], "weight_decay": config.weight_decay},
                {"params": [p for p in named if p.ndim <= 1], "weight_decay": 0.0},
            ]
            return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)
        case "sgd":
            momentum = config.betas[0]
            return torch.optim.SGD(
                named, lr=config.lr, momentum=momentum, nesterov=momentum > 0, weight_decay=config.weight_decay
            )
