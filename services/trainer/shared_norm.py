"""Batch normalisation over the images of all ranks, so that a step is the same on however many it is computed.

torch has this for accelerators only (``nn.SyncBatchNorm`` refuses a CPU). This one runs on any device and backend, so
that what is tested on two CPUs is what several GPUs compute.

Shape suffixes: N images, C channels, H and W height and width.
"""

from typing import cast

import torch
from torch import distributed, nn
from torch.distributed.nn.functional import all_reduce


class SharedBatchNorm2d(nn.BatchNorm2d):
    """In training mode, mean and variance are those of every rank's images (Peng et al., MegDet: A large mini-batch
    object detector, CVPR 2018, section 3.2). Otherwise, and with a single rank, it is torch's own.

    Gradients flow through both sums, from every rank's loss to every rank's images. Every rank brings one image or
    more, all of them have to come, and the statistics are float32 or finer whatever the images are.
    """

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        if not self.training or not distributed.is_initialized() or distributed.get_world_size() == 1:
            return super().forward(x_NCHW)
        x = x_NCHW.to(torch.promote_types(x_NCHW.dtype, torch.float32))
        num_places = x.new_tensor(x.numel() // x.shape[1])
        # Two passes: the difference of two large sums would lose a small variance.
        sums = _over_ranks(torch.cat((x.sum((0, 2, 3)), num_places.view(1))))
        count = sums[-1].detach()
        mean_C = sums[:-1] / count
        centred = x - mean_C.view(1, -1, 1, 1)
        variance_C = _over_ranks(centred.square().sum((0, 2, 3))) / count
        self._remember(mean_C.detach(), variance_C.detach() * count / (count - 1).clamp_min(1))
        scale_C = torch.rsqrt(variance_C + self.eps)
        if self.weight is not None:
            scale_C = scale_C * self.weight
        normed = centred * scale_C.view(1, -1, 1, 1)
        if self.bias is not None:
            normed = normed + self.bias.view(1, -1, 1, 1)
        return normed.to(x_NCHW.dtype)

    def _remember(self, mean_C: torch.Tensor, unbiased_C: torch.Tensor) -> None:
        """As torch does; without a momentum, the mean over all steps."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean_C, share)
            self.running_var.lerp_(unbiased_C, share)


def _over_ranks(sums: torch.Tensor) -> torch.Tensor:
    """Their sum, with gradients."""
    return cast(torch.Tensor, all_reduce(sums))  # type: ignore[no-untyped-call]


def share_statistics(network: nn.Module) -> None:
    """Makes every ``nn.BatchNorm2d`` in ``network`` a :class:`SharedBatchNorm2d`, in place.

    Parameters, buffers, hooks and their names stay: checkpoints of both are the same. Other normalisations over a batch
    are not changed.
    """
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm2d
