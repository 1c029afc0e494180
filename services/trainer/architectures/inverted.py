"""MobileNetV2's network from scratch, as a row of blocks that can each be taught by itself.

Shape suffixes: N images, C channels, H and W height and width, D dimension of the embedding.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from lookalike.embedding.torchvision_stub import import_torchvision_package
from services.trainer.architectures.backbone import ArchitectureModel, Backbone
from services.trainer.architectures.pooling import generalised_mean

# A block is taught on few images where its maps are large, so what it remembers of them changes slowly.
_MOMENTUM = 0.02
# Channels, repeats and stride: table 2 of the paper, without the expansions.
_ROWS = ((16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))

Expansion = Annotated[int, Field(ge=1, le=16)]


class Inverted(ArchitectureModel):
    """Inverted residual blocks (Sandler et al., MobileNetV2, CVPR 2018, table 2) without the classifier.

    The embedding is the mean of the last map, D = 1,280, or with an ``exponent`` above 1 its generalised mean (see
    :class:`~services.trainer.architectures.pooling.GeM`): nearer to the maximum, so that a small thing counts for more.
    Weights are torchvision's initial random ones.
    ``expansions``: how many times as wide as what it is given a block is inside, for each of the seven rows of that
    table. The default is MobileNetV2 itself, of 2,223,872 parameters. A block that is wider inside than the one that it
    learns from has the same maps and learns them faster.
    """

    name: Literal["inverted"] = "inverted"
    expansions: tuple[Expansion, Expansion, Expansion, Expansion, Expansion, Expansion, Expansion] = (1, *6 * (6,))
    exponent: float = Field(default=1.0, ge=1, le=16)


class InvertedBackbone(Backbone):
    """See :class:`Inverted`. ``blocks`` are the 19 parts of the network, in order, each from map to map."""

    dimension = 1280

    def __init__(self, config: Inverted) -> None:
        super().__init__()
        self._exponent = config.exponent
        rows = [[expansion, *row] for expansion, row in zip(config.expansions, _ROWS, strict=True)]
        models = import_torchvision_package().models
        self.blocks: nn.Sequential = models.mobilenet_v2(weights=None, inverted_residual_setting=rows).features
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = _MOMENTUM

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        map_NCHW: torch.Tensor = self.blocks(x_NCHW)
        return map_NCHW.mean((2, 3)) if self._exponent == 1 else generalised_mean(map_NCHW, self._exponent)
