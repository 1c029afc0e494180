"""To put images of one class together and of two classes apart, by cosine: losses of pytorch-metric-learning.

Shape suffixes: N images over all ranks, D dimension.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from lookalike.errors import InvalidRequest, MissingExtra
from services.trainer.objectives.batch import Batch, Objective, check_labelled


class MetricLearning(BaseModel):
    """Which loss, and its constants; those of the others don't count.

    * ``supcon``: supervised contrastive (Khosla et al., NeurIPS 2020, equation 2) with ``temperature``, over the images
      that have another of their class in the batch: batches balanced ``per_class`` see to that.
    * ``proxy_anchor``: a learned proxy per class attracts and repels (Kim et al., CVPR 2020, equation 4) with
      ``margin`` and ``alpha``, by default the paper's.
    * ``arcface``: a classifier by angle (Deng et al., CVPR 2019, equation 3) with ``scale`` and ``margin_deg``, by
      default the paper's 64 and 0.5 rad.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["metric_learning"] = "metric_learning"
    loss: Literal["supcon", "proxy_anchor", "arcface"] = "supcon"
    temperature: float = Field(default=0.1, ge=0.01, le=10)
    margin: float = Field(default=0.1, ge=0, lt=1)
    alpha: float = Field(default=32.0, gt=0, le=256)
    margin_deg: float = Field(default=28.6, ge=0, lt=90)
    scale: float = Field(default=64.0, gt=0, le=256)


class MetricLearningObjective(Objective):
    """One of the losses on the embeddings of all ranks; proxies are parameters of it, from torch's global generator."""

    def __init__(self, config: MetricLearning, dimension: int, num_classes: int) -> None:
        super().__init__()
        if num_classes < 2:
            raise InvalidRequest(f"metric learning needs two classes or more, not {num_classes}")
        self._num_classes, self._needs_pairs = num_classes, config.loss == "supcon"
        self.loss = _loss(config, dimension, num_classes)

    def forward(
        self,
        network: nn.Module,
        images_NCHW: torch.Tensor,
        pixels_NCHW: torch.Tensor,
        batch: Batch,
        gather: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Raises InvalidRequest also when SupCon's batch has no two images of one class."""
        check_labelled(batch.labels_N, self._num_classes)
        labels_N = gather(batch.labels_N)
        if self._needs_pairs and int(labels_N.bincount().max()) < 2:
            raise InvalidRequest("a batch has no two images of one class: set data.balance=per_class")
        embeddings_ND = gather(network(images_NCHW).float())
        # The library casts its proxies to the embeddings' type; both stay float32 also where the network is not.
        with torch.autocast(embeddings_ND.device.type, enabled=False):
            return {"loss": self.loss(embeddings_ND, labels_N)}


def _loss(config: MetricLearning, dimension: int, num_classes: int) -> nn.Module:
    try:
        from pytorch_metric_learning import losses
    except ImportError as error:
        raise MissingExtra("pytorch-metric-learning", "trainer") from error

    loss: nn.Module
    match config.loss:
        case "supcon":
            loss = losses.SupConLoss(temperature=config.temperature)
        case "proxy_anchor":
            loss = losses.ProxyAnchorLoss(num_classes, dimension, margin=config.margin, alpha=config.alpha)
        case "arcface":
            loss = losses.ArcFaceLoss(num_classes, dimension, margin=config.margin_deg, scale=config.scale)
    return loss
