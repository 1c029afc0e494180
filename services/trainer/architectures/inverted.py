"""MobileNetV2's network from scratch, as a row of blocks that can each be taught by itself.

Shape suffixes: N images, C channels, H and W height and width, D dimension of the embedding.
"""

from typing import Literal

import torch
from torch import nn

from lookalike.embedding.torchvision_stub import import_torchvision_package
from services.trainer.architectures.backbone import ArchitectureModel, Backbone

# A block is taught on few images where its maps are large, so what it remembers of them changes slowly.
_MOMENTUM = 0.02


class Inverted(ArchitectureModel):
    """Inverted residual blocks (Sandler et al., MobileNetV2, CVPR 2018, table 2) without the classifier.

    2,223,872 parameters; the embedding is the mean of the last map, D = 1,280. Weights are torchvision's initial
    random ones.
    """

    name: Literal["inverted"] = "inverted"


class InvertedBackbone(Backbone):
    """See :class:`Inverted`. ``blocks`` are the 19 parts of the network, in order, each from map to map."""

    dimension = 1280

    def __init__(self, config: Inverted) -> None:
        super().__init__()
        self.blocks: nn.Sequential = import_torchvision_package().models.mobilenet_v2(weights=None).features
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _MOMENTUM

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        map_NCHW: torch.Tensor = self.blocks(x_NCHW)
        return map_NCHW.mean((2, 3))
