"""To draw an image again from its embedding: what the study's autoencoders learn."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from lookalike.errors import InvalidRequest
from services.trainer.architectures import Autoencoder
from services.trainer.objectives.batch import Batch, Objective


class Reconstruction(BaseModel):
    """The mean squared error of pixels in [0, 1].

    ``noise`` is the share of the network's input values that are set to zero, each drawn for itself; what is to be
    drawn is the image without noise (Vincent et al., Extracting and composing robust features with denoising
    autoencoders, ICML 2008, section 2.3).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["reconstruction"] = "reconstruction"
    noise: float = Field(default=0.0, ge=0, lt=1)


class ReconstructionObjective(Objective):
    """Takes an Autoencoder; needs no labels. Noise is drawn from torch's global generator, in training mode only."""

    def __init__(self, config: Reconstruction) -> None:
        super().__init__()
        self._noise = config.noise

    def forward(
        self,
        network: nn.Module,
        images_NCHW: torch.Tensor,
        pixels_NCHW: torch.Tensor,
        batch: Batch,
        gather: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        if not isinstance(network, Autoencoder):
            raise InvalidRequest("objective.name=reconstruction needs an architecture with a decoder, as conv_ae has")
        if self.training and self._noise > 0:
            images_NCHW = images_NCHW * (self._drawn_like(images_NCHW) >= self._noise)
        drawn_NCHW = network.reconstruct(images_NCHW).float()
        return {"loss": functional.mse_loss(drawn_NCHW, pixels_NCHW)}

    def _drawn_like(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        """Numbers from [0, 1) for the images of this rank."""
        num_images, channels, height, width = images_NCHW.shape
        drawn_NHWC = torch.rand((num_images * self.num_ranks, height, width, channels), device=images_NCHW.device)
        return drawn_NHWC[num_images * self.rank : num_images * (self.rank + 1)].permute(0, 3, 1, 2)
