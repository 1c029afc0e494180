"""From a feature map to one vector per image.

Shape suffixes: N images, C channels, H and W the map's height and width.
"""

from typing import Literal

import torch
from torch import nn

Pooling = Literal["avg", "gem", "flatten"]


class GeM(nn.Module):
    """Generalised mean over the map: ``[N, C, H, W]`` -> float32 ``[N, C]``, ``mean(max(x, eps) ^ p) ^ (1 / p)``.

    p = 1 is the average, p -> infinity the maximum (Radenovic, Tolias, Chum: Fine-tuning CNN image retrieval with no
    human annotation, TPAMI 2019, arXiv 1711.02512, section 3.2, equation 3; p = 3 as start and one p for all channels
    as there). Features at or below ``eps`` count as ``eps``: it is meant for maps that end in a ReLU.

    Args:
        p: the exponent to begin with, above 0.
        learnable: whether p is trained; otherwise it is a buffer, for networks whose loss doesn't see it.
    """

    p: torch.Tensor

    def __init__(self, p: float = 3.0, eps: float = 1e-6, *, learnable: bool = True) -> None:
        super().__init__()
        if p <= 0 or eps <= 0:
            raise ValueError(f"p and eps are above 0, not {p} and {eps}")
        exponent = torch.full((1,), float(p))
        if learnable:
            self.p = nn.Parameter(exponent)
        else:
            self.register_buffer("p", exponent)
        self.eps = eps

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return generalised_mean(x_NCHW, self.p, eps=self.eps)


def generalised_mean(x_NCHW: torch.Tensor, p: torch.Tensor | float, *, eps: float = 1e-6) -> torch.Tensor:
    """As :class:`GeM`, with the exponent that it is given."""
    x = x_NCHW.to(torch.float32).clamp(min=eps)
    # The mean is homogeneous, m * f(x / m) = f(x), so dividing by the maximum changes neither it nor its
    # gradient; without it a channel of zeros underflows, eps ^ p = 0, and its gradient is NaN.
    highest_NC11 = x.detach().amax((2, 3), keepdim=True)
    mean_NC = (x / highest_NC11).pow(p).mean((2, 3)).pow(1 / p)
    return mean_NC * highest_NC11.flatten(1)


def pool(name: Pooling, *, learnable: bool = True) -> nn.Module:
    """The module of this name: ``[N, C, H, W]`` -> ``[N, C]``, or ``[N, C * H * W]`` for ``flatten``.

    ``learnable`` matters to ``gem`` alone, see there.
    """
    if name == "avg":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if name == "gem":
        return GeM(learnable=learnable)
    return nn.Flatten()


def pooled_dimension(name: Pooling, channels: int, side: int) -> int:
    """How long the vector of a map ``[N, channels, side, side]`` is."""
    return channels * side**2 if name == "flatten" else channels
