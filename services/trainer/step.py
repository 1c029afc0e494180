"""Images to losses: what one forward pass of all ranks computes.

Shape suffixes: N images, C channels, H and W height and width.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from services.trainer.config import TrainConfig
from services.trainer.objectives import Batch, Objective

Tensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]


class Step(nn.Module):
    """Network and objective as one module, which is what Fabric sets up and a checkpoint holds."""

    scale: torch.Tensor
    mean: torch.Tensor

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        config: TrainConfig,
        gather: Callable[[torch.Tensor], torch.Tensor],
        *,
        bfloat16: bool,
    ) -> None:
        super().__init__()
        self._bfloat16 = bfloat16
        self.network, self.objective, self._gather = network, objective, gather
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, tensors: Tensors, size: int) -> dict[str, torch.Tensor]:
        batch = Batch(*tensors)
        # A view: the memory stays in the order N, H, W, C, which is what channels_last means.
        pixels_NCHW = batch.images_NHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
        if size != pixels_NCHW.shape[-1]:
            pixels_NCHW = functional.interpolate(
                pixels_NCHW, (size, size), mode="bilinear", antialias=True, align_corners=False
            )
        images_NCHW = (pixels_NCHW - self.mean) * self.scale
        with torch.autocast(images_NCHW.device.type, torch.bfloat16, enabled=self._bfloat16):
            losses: dict[str, torch.Tensor] = self.objective(
                self.network, images_NCHW, pixels_NCHW, batch, self._gather
            )
        return losses


def on_device(batch: Batch, device: torch.device) -> Tensors:
    """A batch as :class:`Step` takes it."""
    targets = None if batch.targets is None else batch.targets.to(device)
    return batch.images_NHWC.to(device), batch.labels_N.to(device), batch.rows_N.to(device), targets
