"""What a run learns and what it learns it on: its objective and its batches, from the data and the teacher."""

import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lookalike.embedding.port import Embedder
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import InvalidRequest
from services.trainer.config import TeacherConfig, TrainConfig
from services.trainer.data.batches import class_weights
from services.trainer.dataset import Dataset
from services.trainer.objectives import Blockwise, BlockwiseObjective, Distillation, Objective, build_objective
from services.trainer.objectives.distillation import DistillationObjective
from services.trainer.progress import Reporter
from services.trainer.schedule import image_size
from services.trainer.teacher import Teacher
from services.trainer.training_data import FreshViews, LabelledData, TaughtData, TrainingData
from services.trainer.view_bank import ViewBank

_NUM_MATCHED = 64


def make_objective(
    config: TrainConfig, network: nn.Module, dataset: Dataset, teacher: Embedder | None
) -> Objective | None:
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


def match_teacher(config: TrainConfig, objective: BlockwiseObjective, network: nn.Module, dataset: Dataset) -> None:
    """Lets the blocks begin with the scales of the teacher's maps, seen on a seeded sample of the photographs."""
    assert dataset.photographs is not None  # noqa: S101 for the type checker
    rows = np.random.default_rng(config.seed).permutation(dataset.train_rows)[:_NUM_MATCHED]
    images_NHWC = torch.from_numpy(dataset.photographs.images_NSSC[np.sort(rows)])
    mean, std = torch.tensor(config.mean).view(1, 3, 1, 1), torch.tensor(config.std).view(1, 3, 1, 1)
    objective.match_statistics(network, images_NHWC, (images_NHWC.permute(0, 3, 1, 2) / 255 - mean) / std)


def make_data(
    config: TrainConfig, dataset: Dataset, teacher: Embedder | None, cache: Path, reporter: Reporter
) -> TrainingData:
    """The batches: labelled images, or views with or for a teacher."""
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
            side=partial(image_size, config),
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
