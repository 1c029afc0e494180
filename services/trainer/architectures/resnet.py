"""torchvision's ResNets from scratch, with the study's initialisation.

Shape suffixes: N images, C channels, H and W height and width, D dimension.
"""

from typing import Literal

import torch
from torch import nn

from lookalike.embedding.torchvision_import import torchvision_features
from services.trainer.architectures.backbone import ArchitectureModel, Backbone
from services.trainer.architectures.pooling import Pooling, pool, pooled_dimension

_STRIDE = 32
_CHANNELS = {18: 512, 34: 512, 50: 2048}


class Resnet(ArchitectureModel):
    """A ResNet (He et al., CVPR 2016) without its last layer.

    Attributes:
        depth: 18, 34 or 50 layers; the study's has 18.
        pooling: of the last map. At 224 x 224 and depth 18 the embedding has 512 components, flattened 25,088.
    """

    name: Literal["resnet"] = "resnet"
    depth: Literal[18, 34, 50] = 18
    pooling: Pooling = "avg"


class ResnetBackbone(Backbone):
    """Convolutions begin Xavier uniform (Glorot and Bengio, AISTATS 2010, equation 16), batch norms as identity.

    There is no linear layer in it: a classifier's is its objective's.
    """

    def __init__(self, config: Resnet, input_size: int) -> None:
        super().__init__()
        # Every stride of 2 rounds up.
        side = -(-input_size // _STRIDE)
        self.dimension = pooled_dimension(config.pooling, _CHANNELS[config.depth], side)
        self.features = torchvision_features(f"resnet{config.depth}", pooled=False)
        self.features.avgpool = pool(config.pooling)
        xavier_uniform(self.features)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        embeddings_ND: torch.Tensor = self.features(x_NCHW)
        return embeddings_ND


def xavier_uniform(network: nn.Module) -> None:
    """Draws all weights of convolutions and linear layers from U(-a, a), a = sqrt(6 / (fan in + fan out)).

    Their biases become zero. Drawn from torch's global generator.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
