"""To name an image's class from its embedding: what the study's classifiers learn."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from lookalike.errors import InvalidRequest
from services.trainer.objectives.batch import Batch, Objective, check_labelled


class Classification(BaseModel):
    """Cross entropy of a linear layer on the embedding.

    ``label_smoothing`` is the share of the target that all classes have in equal parts (Szegedy et al., Rethinking the
    Inception architecture for computer vision, CVPR 2016, section 7).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["classification"] = "classification"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


class ClassificationObjective(Objective):
    """Holds the layer: ``[C, D]`` from Xavier's uniform distribution, biases zero.

    ``class_weights_C`` float32, if given, multiplies each image's loss by the weight of its class. The sum is divided
    by the number of images, not by that of their weights as torch does, so that the parts of a batch add up to the
    whole; :func:`services.trainer.data.batches.class_weights` keeps the scale.
    """

    class_weights_C: torch.Tensor | None

    def __init__(
        self,
        config: Classification,
        dimension: int,
        num_classes: int,
        class_weights_C: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise InvalidRequest(f"a classifier needs two classes or more, not {num_classes}", num_classes=num_classes)
        if class_weights_C is not None and class_weights_C.shape != (num_classes,):
            raise InvalidRequest(f"{tuple(class_weights_C.shape)} class weights for {num_classes} classes")
        self._label_smoothing, self._num_classes = config.label_smoothing, num_classes
        self.register_buffer("class_weights_C", class_weights_C)
        self.head = nn.Linear(dimension, num_classes)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        network: nn.Module,
        images_NCHW: torch.Tensor,
        pixels_NCHW: torch.Tensor,
        batch: Batch,
        gather: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        check_labelled(batch.labels_N, self._num_classes)
        logits_NC = self.head(network(images_NCHW)).float()
        losses_N = functional.cross_entropy(
            logits_NC,
            batch.labels_N,
            weight=self.class_weights_C,
            label_smoothing=self._label_smoothing,
            reduction="none",
        )
        accuracy = (logits_NC.detach().argmax(1) == batch.labels_N).float().mean()
        return {"loss": losses_N.mean(), "accuracy": accuracy}
