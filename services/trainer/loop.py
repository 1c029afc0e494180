"""The training loop, on Lightning Fabric: read from top to bottom.

Every random choice of a step follows from the seed and the step's number, and every batch is drawn over all ranks
before each takes its share. A run that was killed goes on from its last checkpoint to the same weights, bit for bit
on one CPU. Two ranks compute the losses of one with the same batch: batch normalisation is over the images of all
ranks, and noise is drawn for all of them. What is taught block by block is not: there each rank draws its own views.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn

from lookalike.errors import TrainingDiverged
from services.trainer import checkpoint
from services.trainer.checkpoint import Position
from services.trainer.config import TrainConfig
from services.trainer.data.batches import rank_slice
from services.trainer.devices import uses_bfloat16
from services.trainer.objectives import Objective
from services.trainer.progress import Reporter
from services.trainer.schedule import image_size, learning_rate, make_optimiser
from services.trainer.shared_norm import share_statistics
from services.trainer.step import Step, on_device
from services.trainer.training_data import Rows, TrainingData
from services.trainer.validation import has_collapsed

Validate = Callable[[nn.Module], dict[str, float]]


@dataclass(frozen=True)
class Run:
    """What stays the same during a run; ``folder`` is where its checkpoints are."""

    config: TrainConfig
    config_digest: str
    folder: Path
    fabric: Fabric
    step: nn.Module
    optimiser: torch.optim.Optimizer
    reporter: Reporter

    @property
    def trained(self) -> Step:
        """The step without what Fabric put around it."""
        return cast(Step, self.step.module)


def fit(
    config: TrainConfig,
    config_digest: str,
    network: nn.Module,
    objective: Objective,
    data: TrainingData,
    validate: Validate,
    folder: Path,
    fabric: Fabric,
    reporter: Reporter,
    *,
    resumed: tuple[Position, dict[str, Any]] | None = None,
) -> Position:
    """Trains ``network`` to the end of its schedule and returns where it ended; the best epoch is a checkpoint.

    Raises TrainingDiverged at the first loss that is not finite; the last checkpoint is then the last good one.
    """
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    step = Step(
        network,
        objective,
        config,
        lambda tensor: _gathered(fabric, tensor),
        bfloat16=uses_bfloat16(config, fabric.device.type),
    )
    if fabric.world_size > 1:
        share_statistics(step)
        objective.rank, objective.num_ranks = fabric.global_rank, fabric.world_size
    optimiser = make_optimiser(step, config.optimiser)
    position = Position()
    if resumed is not None:
        position, states = resumed
        step.load_state_dict(states["step"])
        optimiser.load_state_dict(states["optimiser"])
    module, optimiser = fabric.setup(step, optimiser)
    run = Run(config, config_digest, folder, fabric, module, optimiser, reporter)
    while position.epoch < config.schedule.epochs:
        _train_epoch(run, position, data)
        _end_epoch(run, position, validate)
    return position


def _train_epoch(run: Run, position: Position, data: TrainingData) -> None:
    config = run.config
    steps = data.epoch(position.epoch, config.batch_size)
    run.step.train()
    saved_at = time.monotonic()
    while position.step < len(steps):
        started = time.perf_counter()
        rows = _even(steps[position.step], run.fabric.world_size * config.accumulate)
        lr = learning_rate(config, position.global_step, position.epoch + position.step / len(steps))
        run.trained.objective.progress = (position.epoch + position.step / len(steps)) / config.schedule.epochs
        losses = _take_step(run, position, rows, data, lr)
        if not all(math.isfinite(value) for value in losses.values()):
            raise _diverged(run, position, "the loss is not finite at", position.step + 1)
        for name, value in losses.items():
            position.losses[name] = position.losses.get(name, 0.0) + value
        position.step += 1
        position.global_step += 1
        seconds = time.perf_counter() - started
        position.seconds += seconds
        run.reporter.step(position.epoch, position.step, len(steps), losses, len(rows) / seconds, lr)
        if time.monotonic() - saved_at >= config.checkpoint_s and position.step < len(steps):
            _check_weights(run, position)
            _save(run, position, checkpoint.LAST)
            saved_at = time.monotonic()


def _take_step(run: Run, position: Position, rows: Rows, data: TrainingData, lr: float) -> dict[str, float]:
    """One update of the weights; the losses are means over the whole batch."""
    fabric, config = run.fabric, run.config
    for group in run.optimiser.param_groups:
        group["lr"] = lr
    part = len(rows) // config.accumulate
    size = image_size(config, position.epoch)
    sums: dict[str, torch.Tensor] = {}
    torch.manual_seed(((config.seed * 1_000_003 + position.global_step) * 64) % 2**64)
    for number in range(config.accumulate):
        # First parts, then ranks: so a loss of pairs compares the same images, however many ranks there are.
        mine = rank_slice(rows[number * part : (number + 1) * part], fabric.global_rank, fabric.world_size)
        batch = data.batch(mine, position.epoch, position.step)
        # A tuple: Fabric looks into what it is given, and into frozen values it can't.
        tensors = on_device(batch, fabric.device)
        with fabric.no_backward_sync(run.step, enabled=number < config.accumulate - 1):
            losses = run.step(tensors, size)
            fabric.backward(losses["loss"] / config.accumulate)
        for name, value in losses.items():
            sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach() / config.accumulate
    if config.optimiser.clip_norm is not None:
        fabric.clip_gradients(run.step, run.optimiser, max_norm=config.optimiser.clip_norm, error_if_nonfinite=False)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    names = sorted(sums)
    means = fabric.all_reduce(torch.stack([sums[name].float() for name in names]), reduce_op="mean")
    return dict(zip(names, means.tolist(), strict=True))


def _end_epoch(run: Run, position: Position, validate: Validate) -> None:
    """Validates, keeps the best, and makes the checkpoint from which the next epoch begins."""
    fabric, config = run.fabric, run.config
    _check_weights(run, position)
    if fabric.is_global_zero:
        metrics = {name: value / position.step for name, value in position.losses.items()}
        found = validate(run.trained.network)
        metrics.update(found)
        position.metrics = metrics
        run.reporter.epoch(position.epoch, config.schedule.epochs, metrics, position.seconds)
        if found and has_collapsed(found):
            run.reporter.message(
                f"collapsed: the embeddings of all images are alike (mean cosine {found['mean_cosine']:.4f}); "
                "no search can tell them apart. A lower learning rate or another objective may help"
            )
        value = selection_value(metrics)
        is_best = config.select == "last" or value > position.best_value
        if is_best:
            position.best_value, position.best_epoch = value, position.epoch
        position.epoch, position.step, position.losses = position.epoch + 1, 0, {}
        if is_best:
            _save(run, position, checkpoint.BEST)
        _save(run, position, checkpoint.LAST)
    else:
        position.epoch, position.step, position.losses = position.epoch + 1, 0, {}
    fabric.barrier()


def selection_value(metrics: dict[str, float]) -> float:
    """By what the best epoch is chosen: precision@4 at the finest level there is, else the negative loss."""
    for level in ("subcategory", "supercategory"):
        if (name := f"{level} precision@4") in metrics:
            return metrics[name]
    return -metrics["loss"]


def _check_weights(run: Run, position: Position) -> None:
    """Raises TrainingDiverged where a weight, or what a batch normalisation has seen, is not finite."""
    if not all(bool(torch.isfinite(tensor).all()) for tensor in run.trained.state_dict().values()):
        raise _diverged(run, position, "a weight is not finite after", position.step)


def _diverged(run: Run, position: Position, what: str, step: int) -> TrainingDiverged:
    """``step`` counts from 1, as people do."""
    last, lr = run.folder / checkpoint.LAST, run.optimiser.param_groups[0]["lr"]
    kept = f"the last good checkpoint is {last.name}" if last.is_file() else "there is no checkpoint yet"
    return TrainingDiverged(
        f"{what} epoch {position.epoch + 1}, step {step} (learning rate {lr:g}): {kept}; a lower optimiser.lr, "
        "optimiser.clip_norm or precision=float32 may help",
        epoch=position.epoch + 1,
        step=step,
    )


def _save(run: Run, position: Position, name: str) -> None:
    if not run.fabric.is_global_zero:
        return
    states = {"step": run.trained.state_dict(), "optimiser": run.optimiser.state_dict()}
    checkpoint.save(run.folder, name, position, states, run.config_digest)


def _even(rows: Rows, parts: int) -> Rows:
    """Rows in equal shares for all ranks and accumulated parts.

    The few that are over, which only an epoch's last step can have, are left out: with another number of ranks that
    step may see a few images more or less. Where there are too few, they begin again from the first.
    """
    return rows[: len(rows) - len(rows) % parts] if len(rows) >= parts else np.resize(rows, parts)


def _gathered(fabric: Fabric, tensor: torch.Tensor) -> torch.Tensor:
    """All ranks' rows, with gradients."""
    if fabric.world_size == 1:
        return tensor
    gathered = fabric.all_gather(tensor, sync_grads=tensor.is_floating_point())
    return cast(torch.Tensor, gathered).flatten(0, 1)
