"""Models that need no training and no download, in the same archives as all others.

``pixels16`` is the floor below which no model is worth its time; ``color_edges`` is what a system without
learning reaches. Their weights and grids were chosen on Caltech-101, not on what they are measured on.

Shape suffixes: N images, C channels, H and W height and width, B bins, D dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from lookalike.embedding.archive import digest_of
from lookalike.embedding.export import export_program
from lookalike.errors import MissingExtra, ModelNotFound
from lookalike.types.models import ModelManifest, ResizePolicy

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

# sRGB (IEC 61966-2-1) with the white point D65, rows X, Y, Z; divided by the white below.
_XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
_WHITE = (0.9505, 1.0, 1.089)
_TINY = 1e-9


class Pixels(nn.Module):
    """The image itself, centred on mid-grey: ``[N, 3, S, S]`` in [-1, 1] -> ``[N, 3 S S]``.

    Without centring all images point into the same octant and brightness drowns everything else.
    """

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW.flatten(1)


class ColorEdges(nn.Module):
    """Where edges run, which colours there are, and where: ``[N, 3, S, S]`` in [0, 1] -> ``[N, 420]``.

    * a histogram of 8 edge orientations in each of 4 x 4 cells (Dalal and Triggs 2005, section 6), each cell
      divided by its own energy and the image's, so that contrast doesn't count;
    * a joint histogram of lightness and both opponent colours (CIELAB, 4 x 5 x 5 bins) under a square root,
      which makes the cosine of two the Bhattacharyya coefficient of the histograms;
    * the 8 x 8 thumbnail in CIELAB.

    Pixels vote for the two nearest bins of each axis, so that small changes make small differences.
    """

    white_XYZ: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("white_XYZ", torch.tensor(_XYZ) / torch.tensor(_WHITE)[:, None])
        for name, centres in (
            ("lightness_bins", torch.linspace(0, 1, 4)),
            ("opponent_bins", torch.linspace(-0.6, 0.6, 5)),
            ("orientation_bins", torch.arange(8) / 8),
        ):
            self.register_buffer(name, centres)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        half_NCHW = functional.avg_pool2d(x_NCHW, 2)
        lab_NCHW = self._lab(half_NCHW)
        blocks = ((1.0, self._edges(half_NCHW)), (0.7, self._colours(lab_NCHW)), (0.5, self._layout(lab_NCHW)))
        return torch.cat([weight * functional.normalize(block_NB, dim=1) for weight, block_NB in blocks], dim=1)

    def _lab(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """CIELAB divided by 100, so that lightness is in [0, 1]."""
        linear_NCHW = torch.where(x_NCHW <= 0.04045, x_NCHW / 12.92, ((x_NCHW + 0.055) / 1.055) ** 2.4)
        xyz_NCHW = functional.conv2d(linear_NCHW, self.white_XYZ[:, :, None, None])
        f_NCHW = torch.where(xyz_NCHW > 0.008856, xyz_NCHW.clamp_min(1e-6) ** (1 / 3), 7.787 * xyz_NCHW + 16 / 116)
        x, y, z = f_NCHW.unbind(1)
        return torch.stack((1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)), dim=1)

    def _colours(self, lab_NCHW: torch.Tensor) -> torch.Tensor:
        light, green_red, blue_yellow = lab_NCHW.flatten(2).unbind(1)  # each [N, H W]
        light_NBP = _votes(light, self.get_buffer("lightness_bins"), 1 / 3)
        red_NBP = _votes(green_red.clamp(-0.6, 0.6), self.get_buffer("opponent_bins"), 0.3)
        yellow_NBP = _votes(blue_yellow.clamp(-0.6, 0.6), self.get_buffer("opponent_bins"), 0.3)
        opponents_NBP = (red_NBP[:, :, None] * yellow_NBP[:, None]).flatten(1, 2)
        return torch.bmm(light_NBP, opponents_NBP.transpose(1, 2)).flatten(1).clamp_min(_TINY).sqrt()

    def _layout(self, lab_NCHW: torch.Tensor) -> torch.Tensor:
        thumbnail_NCHW = functional.adaptive_avg_pool2d(lab_NCHW, 8)
        light_NHW, opponents_NCHW = thumbnail_NCHW[:, :1], thumbnail_NCHW[:, 1:]
        return torch.cat((2 * light_NHW - 1, 2 * opponents_NCHW), dim=1).flatten(1)

    def _edges(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        root_NCHW = x_NCHW.clamp_min(0).sqrt()
        across_NCHW = functional.pad(root_NCHW[:, :, :, 2:] - root_NCHW[:, :, :, :-2], (1, 1, 0, 0))
        down_NCHW = functional.pad(root_NCHW[:, :, 2:] - root_NCHW[:, :, :-2], (0, 0, 1, 1))
        strongest = (across_NCHW.square() + down_NCHW.square()).max(dim=1, keepdim=True)
        across_NHW = across_NCHW.gather(1, strongest.indices)[:, 0]
        down_NHW = down_NCHW.gather(1, strongest.indices)[:, 0]
        turns_NHW = torch.atan2(down_NHW, across_NHW) / torch.pi  # a gradient and its opposite are one edge
        turns_NHW = turns_NHW - turns_NHW.floor()
        distance_NBHW = (turns_NHW[:, None] - self.get_buffer("orientation_bins")[:, None, None]).abs()
        votes_NBHW = (1 - 8 * torch.minimum(distance_NBHW, 1 - distance_NBHW)).clamp_min(0)
        cells_NBHW = functional.adaptive_avg_pool2d(votes_NBHW * (strongest.values + _TINY).sqrt(), 4)
        energy_NHW = cells_NBHW.sum(dim=1, keepdim=True)
        return (cells_NBHW / (energy_NHW + 2 * energy_NHW.mean(dim=(2, 3), keepdim=True) + 1e-3)).flatten(1)


def _votes(values_NP: torch.Tensor, centres_B: torch.Tensor, width: float) -> torch.Tensor:
    """Triangular kernels around the centres: ``[N, P]`` -> ``[N, B, P]``; a value's votes sum to 1."""
    return (1 - (values_NP[:, None] - centres_B[:, None]).abs() / width).clamp_min(0)


@dataclass(frozen=True)
class _Baseline:
    features: Callable[[], nn.Module]
    input_size: int
    resize_policy: ResizePolicy
    mean: float
    std: float
    description: str


BASELINES = MappingProxyType(
    {
        "pixels16": _Baseline(Pixels, 16, ResizePolicy.SQUASH, 0.5, 0.5, "raw 16 x 16 pixels: the floor"),
        "color_edges": _Baseline(
            ColorEdges, 128, ResizePolicy.SQUASH, 0.0, 1.0, "edge orientations, colours and their layout"
        ),
    }
)


def build_baseline(name: str) -> tuple[bytes, ModelManifest]:
    """The program and manifest of a built-in model, the same every time. Raises ModelNotFound."""
    baseline = BASELINES.get(name)
    if baseline is None:
        known = ", ".join(BASELINES)
        raise ModelNotFound(f"no built-in model {name!r:.100}; there are {known}", known=list(BASELINES))
    program, dimension = export_program(
        baseline.features(), baseline.input_size, mean=(baseline.mean,) * 3, std=(baseline.std,) * 3
    )
    manifest = ModelManifest(
        name=name,
        dimension=dimension,
        input_size=baseline.input_size,
        resize_policy=baseline.resize_policy,
        digest=digest_of(program),
        description=baseline.description,
        # Differences of neighbouring pixels lose most of their digits in bfloat16, and there is little to gain.
        recipe={"source": f"builtin:{name}", "precision": "float32"},
        training_data="none",
        licence="MIT",
    )
    return program, manifest
