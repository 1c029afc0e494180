"""Models that need no training and no download, as programs in the same archive format.

``color_edges``: colours and edges by region, as soft histograms under the Hellinger kernel, whose inner product
compares distributions (Arandjelović and Zisserman, Three things everyone should know to improve object
retrieval, 2012, section 3). ``pixels16``: the image itself at 16 x 16, the floor that any model has to beat.

Shape suffixes: N images, P pixels of a cell, B bins.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lookalike.embedding.export import export_program
from lookalike.errors import InvalidRequest, MissingExtra
from lookalike.types.models import ModelManifest, ResizePolicy

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

_COLOR_BINS = 4
_ORIENTATIONS = 8
_EDGE_GRID = 4
_EDGE_WEIGHT = 0.8
_MIN_SUM = 1e-6


class ColorEdges(nn.Module):
    """float32 ``[N, 3, 64, 64]`` in [0, 1] -> ``[N, 448]``: 5 colour histograms and a grid of orientations."""

    bins_B: torch.Tensor
    sobel: torch.Tensor
    angles_2B: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bins_B", torch.arange(_COLOR_BINS, dtype=torch.float32))
        across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        self.register_buffer("sobel", torch.stack([across, across.T])[:, None])
        angles = torch.arange(_ORIENTATIONS) * (2 * math.pi / _ORIENTATIONS)
        self.register_buffer("angles_2B", torch.stack([angles.cos(), angles.sin()]))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        half = pixels.shape[-1] // 2
        cells = [
            pixels,
            pixels[:, :, :half, :half],
            pixels[:, :, :half, half:],
            pixels[:, :, half:, :half],
            pixels[:, :, half:, half:],
        ]
        colors = torch.cat([self._colors(cell) for cell in cells], dim=1) / math.sqrt(len(cells))
        return torch.cat([colors, self._edges(pixels) * _EDGE_WEIGHT], dim=1)

    def _colors(self, cell: torch.Tensor) -> torch.Tensor:
        """Soft joint histogram of the three channels, ``[N, 64]``, of length 1."""
        values_N3P = cell.flatten(2) * (_COLOR_BINS - 1)
        weights_N3PB = functional.relu(1 - (values_N3P[..., None] - self.bins_B).abs())
        red, green, blue = weights_N3PB[:, 0], weights_N3PB[:, 1], weights_N3PB[:, 2]
        pairs = (red[..., :, None] * green[..., None, :]).flatten(2)
        joint = (pairs.transpose(1, 2) @ blue).flatten(1)
        return (joint / joint.sum(dim=1, keepdim=True).clamp_min(_MIN_SUM)).clamp_min(0).sqrt()

    def _edges(self, pixels: torch.Tensor) -> torch.Tensor:
        """Orientations of a 4 x 4 grid weighted by their strength, ``[N, 128]``, of length at most 1."""
        grey = pixels.mean(dim=1, keepdim=True)
        gradient = functional.conv2d(grey, self.sobel)
        x, y = gradient[:, :1], gradient[:, 1:]
        strength = (x * x + y * y).clamp_min(_MIN_SUM**2).sqrt()
        # Twice the angle: an edge from dark to light and one from light to dark are the same edge.
        double = torch.cat([x * x - y * y, 2 * x * y], dim=1) / (strength * strength)
        likeness = torch.einsum("nchw,cb->nbhw", double, self.angles_2B)
        histogram = functional.adaptive_avg_pool2d(functional.relu(likeness).pow(3) * strength, _EDGE_GRID).flatten(1)
        return (histogram / histogram.sum(dim=1, keepdim=True).clamp_min(_MIN_SUM)).clamp_min(0).sqrt()


class Pixels(nn.Module):
    """The pixels themselves, less each image's mean colour."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels - pixels.mean(dim=(2, 3), keepdim=True)).flatten(1)


@dataclass(frozen=True)
class _Baseline:
    module: Callable[[], nn.Module]
    input_size: int
    description: str


_BASELINES = {
    "color_edges": _Baseline(ColorEdges, 64, "soft colour histograms and edge orientations by region"),
    "pixels16": _Baseline(Pixels, 16, "raw 16 x 16 pixels: the floor"),
}
BASELINE_NAMES = tuple(_BASELINES)


def build_baseline(name: str) -> tuple[bytes, ModelManifest]:
    """The program of a baseline and its manifest. Raises InvalidRequest for a name that isn't one."""
    if name not in _BASELINES:
        raise InvalidRequest(f"no baseline {name!r:.50}; there are {', '.join(_BASELINES)}", baseline=name[:50])
    made = _BASELINES[name]
    program, dimension = export_program(made.module(), made.input_size, mean=(0.0,) * 3, std=(1.0,) * 3)
    return program, ModelManifest(
        name=name,
        dimension=dimension,
        input_size=made.input_size,
        resize_policy=ResizePolicy.SQUASH,
        digest="",
        description=made.description,
        # Sums over thousands of pixels, and no time to win: bfloat16 would only cost precision.
        recipe={"kind": "baseline", "precision": "float32"},
        training_data="none",
        licence="MIT",
    )
