"""The study's small DenseNet: a stem, two bottleneck layers, and a fully connected layer of 1,024.

What the study's text leaves open, and what is built here:

- *Blocks.* A "DenseNet bottleneck block" is taken as one bottleneck layer of DenseNet-B (Huang et al., Densely
  connected convolutional networks, CVPR 2017, section 3): BN, ReLU, 1 x 1 convolution to four times the growth rate,
  BN, ReLU, 3 x 3 convolution to the growth rate, concatenated with its input. ``num_layers`` makes it more.
- *The fully connected layer.* At 224 x 224 the map is 128 x 56 x 56. Flattened as it is, the layer to 1,024 would
  have 411 million weights, which fits none of the study's parameter counts and over-fits at once. So the map is
  averaged to ``grid`` x ``grid`` first (7: 6,272 values, 6.4 million weights); ``grid=None`` builds the text's.
- *The embedding* is the output of that layer, before any activation; the classifier on top is the objective's.

At 224 x 224 the defaults have 6,528,384 parameters.

Shape suffixes: N images, C channels, H and W height and width, D dimension.
"""

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import nn

from services.trainer.architectures.backbone import ArchitectureModel, Backbone

_BOTTLENECK = 4  # DenseNet-B's 1 x 1 convolution, in growth rates


class MiniDensenet(ArchitectureModel):
    """See the module.

    Attributes:
        stem_width: channels of the 7 x 7 convolution.
        growth_rate: channels that each layer adds.
        num_layers: bottleneck layers.
        grid: side to which the map is averaged before the fully connected layer; a smaller map stays as it is.
            None flattens the whole map.
        dimension: of the embedding.
    """

    name: Literal["mini_densenet"] = "mini_densenet"
    stem_width: PositiveInt = 64
    growth_rate: PositiveInt = 32
    num_layers: int = Field(default=2, ge=1, le=32)
    grid: PositiveInt | None = 7
    dimension: PositiveInt = 1024


class MiniDensenetBackbone(Backbone):
    def __init__(self, config: MiniDensenet, input_size: int) -> None:
        super().__init__()
        self.dimension = config.dimension
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.stem_width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(config.stem_width),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        widths = [config.stem_width + number * config.growth_rate for number in range(config.num_layers + 1)]
        self.layers = nn.Sequential(*(BottleneckLayer(width, config.growth_rate) for width in widths[:-1]))
        side = -(-input_size // 4)  # two strides of 2, each rounding up
        if config.grid is not None:
            side = min(side, config.grid)
        self.head = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(side),
            nn.Flatten(),
            nn.Linear(widths[-1] * side**2, config.dimension),
        )
        _initialise(self)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        embeddings_ND: torch.Tensor = self.head(self.layers(self.stem(x_NCHW)))
        return embeddings_ND


class BottleneckLayer(nn.Module):
    """``[N, C, H, W]`` -> ``[N, C + growth_rate, H, W]``: its input, then what it computed."""

    def __init__(self, width: int, growth_rate: int) -> None:
        super().__init__()
        inner = _BOTTLENECK * growth_rate
        self.layers = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, growth_rate, 3, padding=1, bias=False),
        )

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return torch.cat((x_NCHW, self.layers(x_NCHW)), dim=1)


def _initialise(network: nn.Module) -> None:
    """As DenseNet: He et al.'s normal distribution for convolutions; linear layers begin without a bias."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
