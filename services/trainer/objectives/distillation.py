"""To embed as a teacher does.

Shape suffixes: N images, K dimension of the teacher's reduced embedding, H and W height and width of a map.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from lookalike.errors import InvalidRequest
from services.trainer.architectures.compact import CompactBackbone
from services.trainer.objectives.batch import Batch, Objective


class Distillation(BaseModel):
    """The loss is (1 - cosine of the embeddings) + ``map_weight`` x (1 - cosine of the maps, each as one vector).

    ``map_weight`` counts only where the teacher gives maps (``teacher.map_channels``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["distillation"] = "distillation"
    map_weight: float = Field(default=0.5, ge=0)


class DistillationObjective(Objective):
    """Targets are embeddings ``[N, K]`` or maps ``[N, K, H, W]``, whose mean over the places is the embedding.

    With maps the network learns what the teacher sees where (Romero et al., FitNets, ICLR 2015), which says more of
    every photograph than one embedding does. A map of another height and width is averaged to the network's.
    """

    def __init__(self, config: Distillation, network: nn.Module, dimension: int) -> None:
        super().__init__()
        self._map_weight = config.map_weight
        found = getattr(network, "dimension", None)
        if found != dimension:
            raise InvalidRequest(
                f"the network's embedding has dimension {found}, the teacher's {dimension}: set teacher.dimension or "
                "the architecture's so that they are equal"
            )

    def forward(
        self,
        network: nn.Module,
        images_NCHW: torch.Tensor,
        pixels_NCHW: torch.Tensor,
        batch: Batch,
        gather: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        if batch.targets is None:
            raise InvalidRequest("a distillation needs the teacher's embeddings with every batch")
        targets = batch.targets.float()
        if targets.ndim == 2:
            loss = (1 - functional.cosine_similarity(network(images_NCHW).float(), targets)).mean()
            return {"loss": loss, "cosine": 1 - loss.detach()}
        if not isinstance(network, CompactBackbone):
            raise InvalidRequest("only the architecture compact learns from maps: leave teacher.map_channels out")
        map_NKHW = network.projected_map(images_NCHW).float()
        wanted_NKHW = functional.adaptive_avg_pool2d(targets, map_NKHW.shape[-1])
        # Up to a factor, like the embeddings: a squared error would first have to learn the teacher's scale.
        error = (1 - functional.cosine_similarity(map_NKHW.flatten(1), wanted_NKHW.flatten(1))).mean()
        apart = (1 - functional.cosine_similarity(map_NKHW.mean((2, 3)), targets.mean((2, 3)))).mean()
        return {
            "loss": apart + self._map_weight * error,
            "cosine": 1 - apart.detach(),
            "map_cosine": 1 - error.detach(),
        }
