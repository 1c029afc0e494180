"""One training run from its configuration to its best checkpoint, in stages."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import nn

from lookalike import __version__
from lookalike.embedding.port import Embedder
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import InvalidRequest
from lookalike.images.limits import ImageLimits
from services.trainer import checkpoint, devices
from services.trainer.architectures import build
from services.trainer.best import load_best, network_of, write_projection
from services.trainer.checkpoint import Position
from services.trainer.config import TeacherConfig, TrainConfig
from services.trainer.data.batches import class_weights
from services.trainer.data.labelled import require_labels
from services.trainer.dataset import Dataset, load_dataset
from services.trainer.loop import fit
from services.trainer.objectives import (
    Blockwise,
    BlockwiseObjective,
    Distillation,
    Objective,
    build_objective,
    needs_labels,
)
from services.trainer.objectives.distillation import DistillationObjective
from services.trainer.progress import Reporter, open_reporter
from services.trainer.run_folder import RunFolder, digest_of
from services.trainer.sheets import draw_sheets
from services.trainer.teacher import Teacher
from services.trainer.training_data import FreshViews, LabelledData, TaughtData, TrainingData
from services.trainer.validation import Validation, embed, has_collapsed, retrieval_metrics
from services.trainer.view_bank import ViewBank
from services.trainer.whitening import Projection, fit_pca

_MAX_PROJECTED = 20_000
_NUM_MATCHED = 64


@dataclass(frozen=True)
class Surroundings:
    """What a run takes from outside: a cache folder, limits, a way to URLs, and models of the store as teachers."""

    cache: Path
    limits: ImageLimits
    fetch: Callable[[str], bytes]
    open_teacher: Callable[[str, str], Embedder]


@dataclass(frozen=True)
class Outcome:
    """How a run ended; ``metrics`` are the best epoch's."""

    folder: Path
    epochs: int
    best_epoch: int | None
    metrics: dict[str, float]
    seconds: float
    collapsed: bool
    num_train: int
    num_val: int
    num_failed: int


def train(
    config: TrainConfig,
    folder: Path,
    surroundings: Surroundings,
    *,
    resume: bool = False,
    show: bool = True,
    as_json: bool = False,
) -> Outcome:
    """Trains as ``config`` says, in ``folder``; with ``resume`` goes on from its last checkpoint.

    Raises InvalidRequest for data or a configuration that can't be trained on, TrainingDiverged for a loss that is
    not finite, InvalidSource, and for pretrained weights DependencyUnavailable.
    """
    run = RunFolder(folder)
    fabric = devices.make_fabric(config)
    resumed = _resumed(run, config, resume)
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
    _check_projection(config, network, dataset)
    objective = _objective(config, network, dataset, teacher)
    if resumed is None and isinstance(objective, BlockwiseObjective):
        _match(config, objective, network, dataset)
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
        data = _data(config, dataset, teacher, surroundings.cache / "views", reporter)
        validation = _validation(config, dataset)

        def validate(trained: nn.Module) -> dict[str, float]:
            embeddings_ND = _embed(config, fabric, trained, validation.images_NSSC)
            return retrieval_metrics(embeddings_ND, validation.labels)

        started = time.monotonic()
        if objective is None:
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
            draw_sheets(run, config, chosen, validation, _embed(config, fabric, chosen, validation.images_NSSC))
            if config.export.projection is not None:
                write_projection(run, _projection(config, fabric, chosen, dataset))
            # Last: a folder with a manifest is a finished run.
            outcome = _finish(run, config, fabric, dataset, best, position, time.monotonic() - started)
        else:
            outcome = _outcome(run, dataset, position, position)
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


def _objective(config: TrainConfig, network: nn.Module, dataset: Dataset, teacher: Embedder | None) -> Objective | None:
    if config.objective is None:
        return None
    if isinstance(config.objective, Blockwise) and config.teacher is not None:
        return _blockwise(config.objective, config.teacher, config.input_size, network, teacher)
    if isinstance(config.objective, Distillation) and config.teacher is not None:
        return DistillationObjective(config.objective, network, config.teacher.dimension)
    weights_C = None
    if config.data.balance == "loss":
        weights_C = torch.from_numpy(class_weights(dataset.codes_N[dataset.train_rows], len(dataset.names)))
    dimension = int(getattr(network, "dimension", 0))
    return build_objective(config.objective, dimension, len(dataset.names), class_weights_C=weights_C)


def _blockwise(
    objective: Blockwise, config: TeacherConfig, input_size: int, network: nn.Module, teacher: Embedder | None
) -> BlockwiseObjective:
    if not isinstance(teacher, TorchEmbedder):
        raise InvalidRequest("a teacher whose steps are tapped runs in this process")
    if teacher.manifest.input_size != input_size:
        raise InvalidRequest(
            f"student and teacher see the same images block by block: input_size {input_size} is not the teacher's "
            f"{teacher.manifest.input_size}"
        )
    return BlockwiseObjective(objective, network, teacher.taps(config.taps), len(config.taps))


def _match(config: TrainConfig, objective: BlockwiseObjective, network: nn.Module, dataset: Dataset) -> None:
    """Lets the blocks begin with the scales of the teacher's maps, seen on a seeded sample of the photographs."""
    assert dataset.photographs is not None  # noqa: S101 for the type checker
    rows = np.random.default_rng(config.seed).permutation(dataset.train_rows)[:_NUM_MATCHED]
    images_NHWC = torch.from_numpy(dataset.photographs.images_NSSC[np.sort(rows)])
    mean, std = torch.tensor(config.mean).view(1, 3, 1, 1), torch.tensor(config.std).view(1, 3, 1, 1)
    objective.match_statistics(network, images_NHWC, (images_NHWC.permute(0, 3, 1, 2) / 255 - mean) / std)


def _data(
    config: TrainConfig, dataset: Dataset, teacher: Embedder | None, cache: Path, reporter: Reporter
) -> TrainingData:
    if teacher is None or config.teacher is None or dataset.photographs is None:
        return LabelledData(dataset.images.images_NSSC, dataset.codes_N, dataset.train_rows, config.data, config.seed)
    embedder, map_channels = teacher, config.teacher.map_channels
    photographs = dataset.photographs
    if config.teacher.taps:
        return FreshViews(
            photographs.images_NSSC[dataset.train_rows],
            dataset.codes_N[dataset.train_rows],
            config.teacher.views,
            config.seed,
        )
    keys = json.dumps([photographs.keys[row] for row in dataset.train_rows])
    bank = ViewBank(
        cache,
        photographs.images_NSSC[dataset.train_rows],
        data_digest=f"{photographs.digest}/{hashlib.sha256(keys.encode()).hexdigest()}",
        teacher=lambda: Teacher(embedder, map_channels),
        teacher_digest=f"{teacher.manifest.embedding_digest}/{teacher.runtime.precision}",
        config=config.teacher,
        side=config.input_size,
        seed=config.seed,
    )
    return TaughtData(
        bank,
        dataset.codes_N[dataset.train_rows],
        num_parts=config.teacher.views_per_image,
        seed=config.seed,
        report=reporter.views,
    )


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


def _check_projection(config: TrainConfig, network: nn.Module, dataset: Dataset) -> None:
    """Raises InvalidRequest for one that could not be made of the trained network: better now than then."""
    wanted, dimension = config.export.projection, int(getattr(network, "dimension", 0))
    most = min(dimension, len(dataset.train_rows) - 1)
    if wanted is not None and wanted > most:
        raise InvalidRequest(
            f"export.projection is at most {most} here ({len(dataset.train_rows)} training images, embeddings of "
            f"dimension {dimension}), not {wanted}",
            projection=wanted,
        )


def _projection(config: TrainConfig, fabric: Fabric, network: nn.Module, dataset: Dataset) -> Projection:
    """The principal components of the training images' embeddings, or of a seeded sample of them."""
    assert config.export.projection is not None  # noqa: S101 for the type checker
    rows = dataset.train_rows
    if len(rows) > _MAX_PROJECTED:
        rows = np.sort(np.random.default_rng(config.seed).choice(rows, _MAX_PROJECTED, replace=False))
    embeddings_ND = _embed(config, fabric, network, dataset.images.images_NSSC[rows])
    return fit_pca(embeddings_ND, config.export.projection, whiten=config.export.whiten)


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


def _outcome(run: RunFolder, dataset: Dataset, best: Position, last: Position) -> Outcome:
    return Outcome(
        folder=run.path,
        epochs=last.epoch,
        best_epoch=best.best_epoch,
        metrics=best.metrics,
        seconds=last.seconds,
        collapsed="mean_cosine" in best.metrics and has_collapsed(best.metrics),
        num_train=len(dataset.train_rows),
        num_val=len(dataset.val_rows),
        num_failed=len(dataset.images.failures),
    )


def _finish(
    run: RunFolder,
    config: TrainConfig,
    fabric: Fabric,
    dataset: Dataset,
    best: Position,
    last: Position,
    seconds: float,
) -> Outcome:
    """Writes the manifest: everything that made the model."""
    outcome = _outcome(run, dataset, best, last)
    run.write_manifest(
        {
            "recipe": config.recipe,
            "config": config.model_dump(mode="json"),
            "config_digest": digest_of(config),
            "data": {
                "digest": dataset.images.digest,
                "num_images": dataset.images.num_images,
                "num_train": outcome.num_train,
                "num_val": outcome.num_val,
                "num_held_out": len(dataset.held_out_rows),
                "held_out_classes": list(dataset.held_out_names),
                "classes": list(dataset.names),
                "failures": [vars(failure) for failure in dataset.images.failures],
            },
            "seed": config.seed,
            "epochs": outcome.epochs,
            "best_epoch": outcome.best_epoch,
            "metrics": outcome.metrics,
            "last_metrics": last.metrics,
            "collapsed": outcome.collapsed,
            "versions": {"lookalike": __version__, "numpy": np.__version__, "torch": torch.__version__},
            "hardware": devices.describe(fabric),
            "training_s": round(last.seconds, 1),
            "this_process_s": round(seconds, 1),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )
    return outcome
