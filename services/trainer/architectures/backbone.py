"""What every architecture is: a backbone, which makes embeddings, or an autoencoder around one.

Shape suffixes: N images, C channels, H and W height and width, D dimension of the embedding, K of the code.
"""

from abc import ABC, abstractmethod

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn


class ArchitectureModel(BaseModel):
    """Base of the architectures' configurations: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Backbone(nn.Module, ABC):
    """float32 ``[N, 3, S, S]``, normalised -> float ``[N, D]``, not normalised.

    ``dimension`` is D. Subclasses are built for one input size S.
    """

    dimension: int

    @abstractmethod
    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """The embeddings ``[N, D]`` of normalised images."""


class Encoder(Backbone):
    """The backbone of an autoencoder: it also says what the decoder reads, which need not be the embedding."""

    @abstractmethod
    def code(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """The code ``[N, K]``; the embedding is the code itself, or pooled from it."""


class Autoencoder(nn.Module):
    """An encoder and the decoder that draws the image again from its code.

    Called like a backbone it gives embeddings, so that whoever embeds need not know which of the two it has;
    ``reconstruct`` is what is trained. ``decoder`` takes ``encoder.code(x)`` as ``[N, K]`` and returns pixels in
    [0, 1].
    """

    def __init__(self, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    @property
    def dimension(self) -> int:
        return self.encoder.dimension

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """The embeddings ``[N, D]`` of normalised images."""
        embeddings_ND: torch.Tensor = self.encoder(x_NCHW)
        return embeddings_ND

    def reconstruct(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """Normalised images -> pixels ``[N, 3, S, S]`` in [0, 1], not normalised."""
        pixels_NCHW: torch.Tensor = self.decoder(self.encoder.code(x_NCHW))
        return pixels_NCHW
