"""The study's autoencoders: fully connected (``vanilla_ae``) and convolutional (``conv_ae``).

Denoising is not an architecture: it is ``conv_ae`` whose objective spoils the input.

Shape suffixes: N images, C channels, H and W height and width, K the length of the code.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveInt
from torch import nn

from lookalike.errors import InvalidRequest
from services.trainer.architectures.backbone import ArchitectureModel, Autoencoder, Encoder
from services.trainer.architectures.pooling import Pooling, pool, pooled_dimension

_CHANNELS = 3


class VanillaAe(ArchitectureModel):
    """A fully connected autoencoder, ReLU between its layers, sigmoid at its end.

    With the defaults and 224 x 224 x 3 inputs it has 77,418,624 parameters, nearly all of them in the first and
    the last layer (150,528 x 256 each).

    Attributes:
        hidden_widths: of the encoder's hidden layers; the decoder has them in reverse.
        dimension: of the code, which is the embedding. It has no ReLU after it: a code whose components can't be
            negative has fewer directions to tell images apart by.
    """

    name: Literal["vanilla_ae"] = "vanilla_ae"
    hidden_widths: Annotated[tuple[PositiveInt, ...], Field(max_length=16)] = (256, 256)
    dimension: PositiveInt = 128


class ConvAe(ArchitectureModel):
    """Stages of 3 x 3 convolution, ReLU and 2 x 2 max pooling; the decoder mirrors them by ConvTranspose2d.

    With the defaults it has 161,459 parameters and, at 224 x 224, an embedding of 16 x 14 x 14 = 3,136.

    Attributes:
        widths: channels of each stage; the last one's are the code's.
        pooling: how the embedding is made from the code map. The decoder always reads the whole map. GeM's
            exponent stays at 3, since nothing in a reconstruction depends on it.
    """

    name: Literal["conv_ae"] = "conv_ae"
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=16)] = (32, 64, 128, 16)
    pooling: Pooling = "flatten"


def vanilla_autoencoder(config: VanillaAe, input_size: int) -> Autoencoder:
    num_values = _CHANNELS * input_size**2
    widths = (num_values, *config.hidden_widths, config.dimension)
    decoder = nn.Sequential(
        *_fully_connected(widths[::-1]), nn.Sigmoid(), nn.Unflatten(1, (_CHANNELS, input_size, input_size))
    )
    return Autoencoder(FullyConnectedEncoder(widths), decoder)


def conv_autoencoder(config: ConvAe, input_size: int) -> Autoencoder:
    """Raises InvalidRequest for an input size that can't be halved once for each stage."""
    factor = 2 ** len(config.widths)
    if input_size % factor:
        below = input_size // factor * factor
        nearest = f"{below} or {below + factor}" if below else str(factor)
        raise InvalidRequest(
            f"conv_ae with {len(config.widths)} stages takes images whose side is a multiple of {factor}, such as "
            f"{nearest}, not {input_size}",
            input_size=input_size,
        )
    encoder = ConvolutionalEncoder(config.widths, input_size // factor, config.pooling)
    decoder = nn.Sequential(
        nn.Unflatten(1, (config.widths[-1], encoder.side, encoder.side)), *_up(config.widths), nn.Sigmoid()
    )
    return Autoencoder(encoder, decoder)


class FullyConnectedEncoder(Encoder):
    """Flattens the image; the embedding is the code."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.dimension = widths[-1]
        self.layers = nn.Sequential(nn.Flatten(), *_fully_connected(widths))

    def code(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        code_NK: torch.Tensor = self.layers(x_NCHW)
        return code_NK

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return self.code(x_NCHW)


class ConvolutionalEncoder(Encoder):
    """The code is the last stage's map ``[N, C, side, side]``, flattened; the embedding that map, pooled."""

    def __init__(self, widths: tuple[int, ...], side: int, pooling: Pooling) -> None:
        super().__init__()
        self.side = side
        self.dimension = pooled_dimension(pooling, widths[-1], side)
        self.stages = nn.Sequential(*_down(widths))
        self.pool = pool(pooling, learnable=False)

    def code(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        map_NCHW: torch.Tensor = self.stages(x_NCHW)
        return map_NCHW.flatten(1)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        embeddings_ND: torch.Tensor = self.pool(self.stages(x_NCHW))
        return embeddings_ND


def _fully_connected(widths: tuple[int, ...]) -> Iterator[nn.Module]:
    for number, (before, after) in enumerate(pairwise(widths)):
        if number:
            yield nn.ReLU()
        yield nn.Linear(before, after)


def _down(widths: tuple[int, ...]) -> Iterator[nn.Module]:
    for before, after in pairwise((_CHANNELS, *widths)):
        yield nn.Conv2d(before, after, 3, padding=1)
        yield nn.ReLU()
        yield nn.MaxPool2d(2)


def _up(widths: tuple[int, ...]) -> Iterator[nn.Module]:
    for number, (before, after) in enumerate(pairwise((*widths[::-1], _CHANNELS))):
        if number:
            yield nn.ReLU()
        yield nn.ConvTranspose2d(before, after, 2, stride=2)
