"""To compute as a teacher does, block by block.

A few thousand photographs are too few to teach a deep network what a large one has learned of a million: end to end
it learns those photographs. One block is a small function of small patches, and every photograph shows it thousands.
So each block of the student learns, from random weights, the part of the teacher between two of its maps, at the same
time as the others (Wang et al., Progressive blockwise knowledge distillation, IJCAI 2018; Li et al., Blockwisely
supervised neural architecture search with knowledge distillation, CVPR 2020, section 3.1).

Shape suffixes: N images, C channels, H and W height and width.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn import functional

from lookalike.embedding.taps import Taps
from lookalike.errors import InvalidRequest
from services.trainer.architectures.inverted import InvertedBackbone
from services.trainer.objectives.batch import Batch, Objective


class Blockwise(BaseModel):
    """The loss is the mean over the blocks of squared error / the teacher's variance.

    Up to the share ``joint_from`` of the run a block is given the teacher's map to start from, and is taught on as many
    images of the batch as give it ``places`` places of its map, at least ``min_images``: early maps are large. From
    there on the network runs as a whole on all images, and what a block does wrong is taught to those before it too:
    each by itself is nearly right by then, but what nineteen of them do wrong adds up.

    From the share ``fixed_from`` on, batch normalisations use the statistics that they have gathered, as the archive
    will: those of a batch are others in every step, and the teacher's never change (Wu and Johnson, Rethinking "Batch"
    in BatchNorm, 2021, section 3.3).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["blockwise"] = "blockwise"
    joint_from: float = Field(default=0.25, ge=0, le=1)
    fixed_from: float = Field(default=1.0, ge=0, le=1)
    places: int = Field(default=12_544, ge=1)
    min_images: int = Field(default=4, ge=2)


class BlockwiseObjective(Objective):
    """Raises InvalidRequest for a network that has no blocks, or another number of them than the teacher has taps."""

    def __init__(self, config: Blockwise, network: nn.Module, taps: Taps, num_taps: int) -> None:
        super().__init__()
        if not isinstance(network, InvertedBackbone):
            raise InvalidRequest("only the architecture inverted is taught block by block")
        if len(network.blocks) != num_taps:
            raise InvalidRequest(f"the network has {len(network.blocks)} blocks, teacher.taps {num_taps} steps")
        self._config, self._taps = config, taps

    def forward(
        self,
        network: nn.Module,
        images_NCHW: torch.Tensor,
        pixels_NCHW: torch.Tensor,
        batch: Batch,
        gather: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """``loss``, and of the last block ``last_error``: 0 is the teacher itself, 1 no better than a constant."""
        assert isinstance(network, InvertedBackbone)  # noqa: S101 for the type checker; checked when it was built
        if self._config.fixed_from < 1 and self.progress >= self._config.fixed_from:
            _fix_statistics(network)
        targets = self._taps(batch.images_NHWC)
        is_joint = self.progress >= self._config.joint_from
        given = images_NCHW
        errors = []
        for block, target_NCHW in zip(network.blocks, targets, strict=True):
            num_images = len(target_NCHW) if is_joint else self._num_images(target_NCHW)
            made_NCHW = block(given[:num_images])
            errors.append(relative_error(made_NCHW, target_NCHW[:num_images]))
            given = made_NCHW if is_joint else target_NCHW
        return {"loss": torch.stack(errors).mean(), "last_error": errors[-1].detach()}

    def match_statistics(self, network: nn.Module, images_NHWC: torch.Tensor, images_NCHW: torch.Tensor) -> None:
        """Gives each block's last normalisation the mean and deviation that the teacher's map has in each channel.

        Of what a block adds, where it has a shortcut. Else the first thousand steps would go into scales alone.
        """
        assert isinstance(network, InvertedBackbone)  # noqa: S101 for the type checker; checked when it was built
        given = images_NCHW
        for block, target_NCHW in zip(network.blocks, self._taps(images_NHWC), strict=True):
            target = target_NCHW.float()
            added = target - given.float() if getattr(block, "use_res_connect", False) else target
            last = [module for module in block.modules() if isinstance(module, nn.BatchNorm2d)][-1]
            with torch.no_grad():
                last.weight.copy_(added.std((0, 2, 3)).clamp_min(1e-3))
                last.bias.copy_(added.mean((0, 2, 3)))
            given = target_NCHW

    def _num_images(self, map_NCHW: torch.Tensor) -> int:
        num_images, _, height, width = map_NCHW.shape
        return min(num_images, max(self._config.min_images, self._config.places // (height * width)))


def _fix_statistics(network: nn.Module) -> None:
    """Until the network is next put into training mode."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def relative_error(map_NCHW: torch.Tensor, target_NCHW: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the mean of the channels' variances: 1 - R squared, over all channels at once."""
    target = target_NCHW.float()
    variance = (target - target.mean((0, 2, 3), keepdim=True)).square().mean()
    return functional.mse_loss(map_NCHW.float(), target) / variance.clamp_min(1e-12)
