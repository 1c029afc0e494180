"""The house model's network: a small ResNet for CPUs.

Its convolutions are dense 3 x 3 ones, which keep a core's matrix units busy, most of all in bfloat16, where depthwise
ones wait for memory; and its stem goes to a quarter of the side at once, since there a ResNet computes much for little.

Shape suffixes: N images, C channels of the last stage, H and W height and width, D dimension of the embedding.
"""

from itertools import pairwise
from typing import Annotated, Literal, Self, cast

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import nn

from lookalike.errors import InvalidRequest
from services.trainer.architectures.backbone import ArchitectureModel, Backbone
from services.trainer.architectures.pooling import pool

_STEM_STRIDE = 4
_Stages = Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=8)]


class Compact(ArchitectureModel):
    """A stem, then stages of ResNet's basic blocks, each stage after the first at half the side.

    With the defaults it has 4,945,568 parameters; projected to 128 channels 4,986,656, to 256 more than five million
    (5,027,744). ``widths=(48, 96, 192, 256)`` has 3,826,720.

    Attributes:
        stem: ``patch`` is one convolution whose kernel is its stride of 4; ``conv`` is two of 3 x 3 with stride 2.
        widths, depths: channels and blocks of each stage.
        pooling: of the last map, whose values are not negative.
        dimension: channels to which a linear layer projects the map; None leaves the last stage's.
        zero_init: the last batch norm of every block begins at zero, so that a block begins as its shortcut
            (Goyal et al., Accurate, large minibatch SGD, 2017, section 5.1).
    """

    name: Literal["compact"] = "compact"
    stem: Literal["patch", "conv"] = "patch"
    widths: _Stages = (48, 96, 192, 320)
    depths: _Stages = (2, 2, 2, 2)
    pooling: Literal["avg", "gem"] = "avg"
    dimension: PositiveInt | None = None
    zero_init: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.widths) != len(self.depths):
            raise ValueError(f"one width and one depth per stage, not {len(self.widths)} and {len(self.depths)}")
        return self


class CompactBackbone(Backbone):
    """See :class:`Compact`. Raises InvalidRequest for a side that the patch stem would cut off."""

    def __init__(self, config: Compact, input_size: int) -> None:
        super().__init__()
        if config.stem == "patch" and input_size % _STEM_STRIDE:
            raise InvalidRequest(
                f"compact with a patch stem takes images whose side is a multiple of {_STEM_STRIDE}, not {input_size}",
                input_size=input_size,
            )
        self.dimension = config.dimension or config.widths[-1]
        self.stem = _stem(config.stem, config.widths[0])
        blocks: list[nn.Module] = []
        before = config.widths[0]
        for number, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            for block in range(depth):
                blocks.append(BasicBlock(before, width, 2 if number and block == 0 else 1))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.pool = pool(config.pooling)
        self.projection = nn.Conv2d(before, config.dimension, 1) if config.dimension else nn.Identity()
        self._initialise(config.zero_init)

    def forward(self, x_NCHW: torch.Tensor, as_map: bool = False) -> torch.Tensor:
        """The embeddings ``[N, D]``, or ``projected_map(x)``.

        As an argument too, since a module that is trained on several ranks may only be called, not asked for more.
        """
        map_NCHW = self.forward_map(x_NCHW)
        return self.project(map_NCHW) if as_map else self.embed_map(map_NCHW)

    def forward_map(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """The last stage's map ``[N, C, H, W]``, after its ReLU."""
        map_NCHW: torch.Tensor = self.blocks(self.stem(x_NCHW))
        return map_NCHW

    def project(self, map_NCHW: torch.Tensor) -> torch.Tensor:
        """The last stage's map, projected: ``[N, D, H, W]``. The map itself without ``dimension``."""
        map_NDHW: torch.Tensor = self.projection(map_NCHW)
        return map_NDHW

    def projected_map(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """``project(forward_map(x))``: ``[N, D, H, W]``. With average pooling its mean is the embedding."""
        return self.project(self.forward_map(x_NCHW))

    def embed_map(self, map_NCHW: torch.Tensor) -> torch.Tensor:
        """The embedding ``[N, D]`` of the last stage's map, for those who need the map as well.

        Pooled first: for the average that is the same and cheaper, and GeM is for values that aren't negative.
        """
        pooled_NC11 = self.pool(map_NCHW)[:, :, None, None]
        return self.project(pooled_NC11).flatten(1)

    def _initialise(self, zero_init: bool) -> None:
        """He et al.'s normal distribution (ICCV 2015, equation 10, by fan out) before a ReLU; LeCun's elsewhere."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock) and zero_init:
                nn.init.zeros_(module.norm2.weight)
        if isinstance(self.projection, nn.Conv2d):
            nn.init.kaiming_normal_(self.projection.weight, nonlinearity="linear")
            nn.init.zeros_(cast("nn.Parameter", self.projection.bias))


class BasicBlock(nn.Module):
    """ResNet's block of two 3 x 3 convolutions around a shortcut: ``[N, before, H, W]`` -> ``[N, width, …]``."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(nn.Conv2d(before, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        inner = torch.relu(self.norm1(self.conv1(x_NCHW)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(x_NCHW))


def _stem(kind: Literal["patch", "conv"], width: int) -> nn.Sequential:
    if kind == "patch":
        convolution = nn.Conv2d(3, width, _STEM_STRIDE, stride=_STEM_STRIDE, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())
    layers: list[nn.Module] = []
    for before, after in pairwise((3, -(-width // 2), width)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)
