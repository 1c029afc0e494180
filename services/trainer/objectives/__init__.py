"""What is learned: the configurations of the objectives, told apart by ``name``, and ``build_objective``."""

from typing import Annotated, TypeAlias

import torch
from pydantic import Field

from lookalike.errors import InvalidRequest
from services.trainer.objectives.batch import Batch, Objective
from services.trainer.objectives.blockwise import Blockwise, BlockwiseObjective
from services.trainer.objectives.classification import Classification, ClassificationObjective
from services.trainer.objectives.distillation import Distillation
from services.trainer.objectives.metric_learning import MetricLearning, MetricLearningObjective
from services.trainer.objectives.reconstruction import Reconstruction, ReconstructionObjective

__all__ = [
    "Batch",
    "Blockwise",
    "BlockwiseObjective",
    "Classification",
    "Distillation",
    "MetricLearning",
    "Objective",
    "ObjectiveConfig",
    "Reconstruction",
    "build_objective",
    "needs_labels",
]

ObjectiveConfig: TypeAlias = Annotated[
    Reconstruction | Classification | MetricLearning | Distillation | Blockwise, Field(discriminator="name")
]


def build_objective(
    config: ObjectiveConfig,
    network_dimension: int,
    num_classes: int,
    *,
    class_weights_C: torch.Tensor | None = None,
) -> Objective:
    """The objective for embeddings of ``network_dimension`` and ``num_classes`` classes (0 where there are none).

    Its own weights come from torch's global generator. Raises InvalidRequest for one that needs more classes than
    there are, for class weights that it would ignore, and for a distillation, which is built with its teacher.
    """
    if class_weights_C is not None and not isinstance(config, Classification):
        raise InvalidRequest(f"data.balance=loss weighs a classifier's loss, and the objective is {config.name}")
    match config:
        case Reconstruction():
            return ReconstructionObjective(config)
        case Classification():
            return ClassificationObjective(config, network_dimension, num_classes, class_weights_C)
        case MetricLearning():
            return MetricLearningObjective(config, network_dimension, num_classes)
        case Distillation() | Blockwise():
            raise InvalidRequest("a distillation is built with its teacher and its network")


def needs_labels(config: ObjectiveConfig) -> bool:
    """Whether every training image must have a class."""
    return isinstance(config, Classification | MetricLearning)
