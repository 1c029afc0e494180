"""One training run from its configuration to its best checkpoint, in stages."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from lookalike.embedding.port import Embedder
from lookalike.errors import InvalidRequest
from lookalike.images.limits import ImageLimits
from services.trainer import checkpoint, devices
from services.trainer.architectures import build
from services.trainer.best import load_best, network_of
from services.trainer.checkpoint import Position
from services.trainer.config import TrainConfig
from services.trainer.data.labelled import require_labels
from services.trainer.dataset import Dataset, load_dataset
from services.trainer.learning import make_data, make_objective, match_teacher
from services.trainer.loop import fit
from services.trainer.objectives import (
    BlockwiseObjective,
    needs_labels,
)
from services.trainer.outcome import Outcome, finish, outcome_of
from services.trainer.progress import open_reporter
from services.trainer.projection import check_projection, fit_projection, write_projection
from services.trainer.run_folder import RunFolder, digest_of
from services.trainer.sheets import draw_sheets
from services.trainer.validation import Validation, embed, retrieval_metrics


@dataclass(frozen=True)
class Surroundings:
    """What a run takes from outside: a cache folder, limits, a way to URLs, and models of the store as teachers."""

    cache: Path
    limits: ImageLimits
    fetch: Callable[[str], bytes]
    open_teacher: Callable[[str, str], Embedder]


def train(
    config: TrainConfig,
    folder: Path,
    surroundings: Surroundings,
    *,
    resume: bool = False,
    finish_now: bool = False,
    show: bool = True,
    as_json: bool = False,
) -> Outcome:
    """Trains as ``config`` says, in ``folder``; with ``resume`` goes on from its last checkpoint.

    ``finish_now`` trains no further: the best epoch so far of the run that is resumed is the model.

    Raises InvalidRequest for data or a configuration that can't be trained on, TrainingDiverged for a loss that is
    not finite, InvalidSource, and for pretrained weights DependencyUnavailable.
    """
    run = RunFolder(folder)
    fabric = devices.make_fabric(config)
    resumed = _resumed(run, config, resume)
    if finish_now and (resumed is None or not run.best.is_file()):
        raise InvalidRequest(f"{folder} has no finished epoch to make a model of", path=str(folder))
    if fabric.is_global_zero and not resume:
        run.begin(config)
    fabric.barrier()
    teacher = None if config.teacher is None else _open_teacher(config, surroundings)
    dataset = load_dataset(
        config,
        cache=surroundings.cache / "images",
        limits=surroundings.limits,
        fetch=surroundings.fetch,
        photograph_side=None if teacher is None else teacher.manifest.input_size,
    )
    if config.objective is not None and needs_labels(config.objective):
        require_labels(dataset.images)
    torch.manual_seed(config.seed)
    network = build(config.architecture, config.input_size, with_weights=resumed is None)
    check_projection(config, network, dataset)
    is_changed = resume and fabric.is_global_zero and run.read_config() != config
    if is_changed:
        run.write_config(config)  # once it is known to do
    objective = make_objective(config, network, dataset, teacher)
    if resumed is None and isinstance(objective, BlockwiseObjective):
        match_teacher(config, objective, network, dataset)
    step = -1 if resumed is None else resumed[0].global_step
    reporter = open_reporter(
        run.path,
        resume_from=step,
        show=show and fabric.is_global_zero,
        as_json=as_json,
        is_main=fabric.is_global_zero,
        num_epochs=config.schedule.epochs,
    )
    try:
        data = make_data(config, dataset, teacher, surroundings.cache / "views", reporter)
        validation = _validation(config, dataset)

        def validate(trained: nn.Module) -> dict[str, float]:
            embeddings_ND = _embed(config, fabric, trained, validation.images_NSSC)
            return retrieval_metrics(embeddings_ND, validation.labels)

        started = time.monotonic()
        if finish_now and resumed is not None:
            position = resumed[0]
        elif objective is None:
            position = _only_measured(run, config, fabric, network, validate) if resumed is None else resumed[0]
        else:
            position = fit(
                config,
                digest_of(config),
                network,
                objective,
                data,
                validate,
                run.checkpoints,
                fabric,
                reporter,
                resumed=resumed,
            )
        if fabric.is_global_zero:
            best, states = load_best(run, config)
            chosen = network_of(states, config).to(fabric.device)
            embeddings_ND = _embed(config, fabric, chosen, validation.images_NSSC)
            if finish_now or is_changed:  # how it pools may have been changed since that epoch
                best.metrics.update(retrieval_metrics(embeddings_ND, validation.labels))
            draw_sheets(run, config, chosen, validation, embeddings_ND)
            if config.export.projection is not None:
                projection = fit_projection(config, dataset, partial(_embed, config, fabric, chosen))
                write_projection(run, projection)
                projected = retrieval_metrics(projection(embeddings_ND), validation.labels)
                best.metrics.update({f"projected {name}": value for name, value in projected.items()})
            # Last: a folder with a manifest is a finished run.
            outcome = finish(run, config, fabric, dataset, best, position, time.monotonic() - started)
        else:
            outcome = outcome_of(run, dataset, position, position)
    finally:
        reporter.close()
        if teacher is not None:
            teacher.close()
    return outcome


def _resumed(run: RunFolder, config: TrainConfig, resume: bool) -> tuple[Position, dict[str, Any]] | None:
    if not resume:
        return None
    checkpoint.remove_partial(run.checkpoints)
    # A run that was killed before its first checkpoint begins again.
    return checkpoint.load(run.last, digest_of(config)) if run.last.is_file() else None


def _open_teacher(config: TrainConfig, surroundings: Surroundings) -> Embedder:
    assert config.teacher is not None  # noqa: S101 for the type checker
    return surroundings.open_teacher(config.teacher.model, config.teacher.precision)


def _validation(config: TrainConfig, dataset: Dataset) -> Validation:
    """The validation images, or a seeded sample of them."""
    rows = dataset.val_rows
    if len(rows) > config.max_val_images:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, config.max_val_images, replace=False))
    if len(rows) < 2:
        raise InvalidRequest(f"validation needs two images or more, not {len(rows)}: a larger data.val_share, or more")
    return Validation(dataset.images.images_NSSC[rows], [dataset.images.labels[row] for row in rows])


def _embed(
    config: TrainConfig, fabric: Fabric, network: nn.Module, images_NSSC: NDArray[np.uint8]
) -> NDArray[np.float32]:
    bfloat16 = devices.uses_bfloat16(config, fabric.device.type)
    return embed(network, images_NSSC, mean=config.mean, std=config.std, device=fabric.device, bfloat16=bfloat16)


def _only_measured(
    run: RunFolder,
    config: TrainConfig,
    fabric: Fabric,
    network: nn.Module,
    validate: Callable[[nn.Module], dict[str, float]],
) -> Position:
    """A network that is not trained: measured, and its weights kept as the run's best."""
    position = Position(best_epoch=None, best_value=0.0)
    if fabric.is_global_zero:
        position.metrics = validate(network)
        states = {"step": {f"network.{name}": value for name, value in network.state_dict().items()}}
        for name in (checkpoint.BEST, checkpoint.LAST):
            checkpoint.save(run.checkpoints, name, position, states, digest_of(config))
    fabric.barrier()
    return position
