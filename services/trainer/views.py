"""Views of photographs: crops, collages and blends, drawn from a seed, a batch at a time.

A distillation learns a function, the teacher's, and a few thousand photographs show little of it. Views show
more: the teacher embeds each view as it is, so nothing about them has to be true, they only have to be varied
(Beyer et al., Knowledge distillation: A good teacher is patient and consistent, CVPR 2022, section 3).

Shape suffixes: M photographs, B views, S side of the photographs, V side of the views, C channels.
"""

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch.nn import functional

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


class ViewConfig(BaseModel):
    """How views are drawn; shares are of all views, and what is left is a single crop.

    ``crop_area``: the share of the photograph's area that a crop keeps, drawn uniformly; ``aspect``: the factor by
    which it may be wider or higher; ``rotation_deg``: at most so many degrees either way. ``mosaic_share``: four
    photographs side by side; ``paste_share``: one on another; ``blend_share``: one through another.
    ``colour``: strength of changes of brightness, contrast and saturation; ``grey_share`` loses all colour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    crop_area: tuple[float, float] = (0.25, 1.0)
    aspect: float = Field(default=1.33, ge=1, le=3)
    rotation_deg: float = Field(default=10.0, ge=0, le=180)
    mosaic_share: float = Field(default=0.2, ge=0, le=1)
    paste_share: float = Field(default=0.15, ge=0, le=1)
    blend_share: float = Field(default=0.1, ge=0, le=1)
    colour: float = Field(default=0.3, ge=0, le=1)
    grey_share: float = Field(default=0.03, ge=0, le=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.crop_area
        if not 0 < low <= high <= 1:
            raise ValueError("crop_area is two shares, the smaller first, above 0 and at most 1")
        if self.mosaic_share + self.paste_share + self.blend_share > 1:
            raise ValueError("mosaic_share, paste_share and blend_share are together at most 1")
        return self


def draw_views(
    photographs_MSSC: NDArray[np.uint8], rows_B: NDArray[np.int64], side: int, config: ViewConfig, seed: tuple[int, ...]
) -> torch.Tensor:
    """One view of each photograph in ``rows_B``, mixed with others drawn from all: uint8 ``[B, V, V, 3]``.

    V is ``side``. The same arguments give the same views, bit for bit on one machine.
    """
    rng = np.random.default_rng(seed)
    num_views = len(rows_B)
    kinds_B = rng.choice(4, num_views, p=_shares(config))
    views = _crops(photographs_MSSC, rows_B, side, config, rng)
    others_B = rng.integers(0, len(photographs_MSSC), num_views)
    for number, mix in ((1, _mosaic), (2, _paste), (3, _blend)):
        chosen = np.flatnonzero(kinds_B == number)
        if chosen.size:
            views[torch.from_numpy(chosen)] = mix(
                views[torch.from_numpy(chosen)], photographs_MSSC, others_B[chosen], config, rng
            )
    views = _recoloured(views, config, rng)
    return views.mul_(255).round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _shares(config: ViewConfig) -> list[float]:
    mixed = [config.mosaic_share, config.paste_share, config.blend_share]
    return [max(0.0, 1 - sum(mixed)), *mixed] if sum(mixed) < 1 else [0.0, *(share / sum(mixed) for share in mixed)]


def _crops(
    photographs_MSSC: NDArray[np.uint8],
    rows_B: NDArray[np.int64],
    side: int,
    config: ViewConfig,
    rng: np.random.Generator,
) -> torch.Tensor:
    """float32 ``[B, 3, V, V]`` in [0, 1]: a turned, stretched and perhaps mirrored part of each photograph."""
    num_views = len(rows_B)
    area_B = rng.uniform(*config.crop_area, num_views)
    stretch_B = np.exp(rng.uniform(-1, 1, num_views) * np.log(config.aspect) / 2)
    half_width_B = np.minimum(np.sqrt(area_B) * stretch_B, 1)
    half_height_B = np.minimum(np.sqrt(area_B) / stretch_B, 1)
    x_B = rng.uniform(-1, 1, num_views) * (1 - half_width_B)
    y_B = rng.uniform(-1, 1, num_views) * (1 - half_height_B)
    angle_B = np.deg2rad(rng.uniform(-1, 1, num_views) * config.rotation_deg)
    mirrored_B = np.where(rng.random(num_views) < 0.5, -1.0, 1.0)
    affine = np.empty((num_views, 2, 3), np.float32)
    affine[:, 0] = np.stack([mirrored_B * half_width_B * np.cos(angle_B), -half_height_B * np.sin(angle_B), x_B], 1)
    affine[:, 1] = np.stack([mirrored_B * half_width_B * np.sin(angle_B), half_height_B * np.cos(angle_B), y_B], 1)
    source = _as_float(photographs_MSSC, rows_B)
    grid = functional.affine_grid(torch.from_numpy(affine), [num_views, 3, side, side], align_corners=False)
    return functional.grid_sample(source, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _mosaic(
    views: torch.Tensor,
    photographs_MSSC: NDArray[np.uint8],
    others_B: NDArray[np.int64],
    config: ViewConfig,
    rng: np.random.Generator,
) -> torch.Tensor:
    """The view and three photographs in the quarters around a point near the middle."""
    side = views.shape[-1]
    column, row = (int(side * share) for share in rng.uniform(0.35, 0.65, 2))
    boxes = [(0, row, 0, column), (0, row, column, side), (row, side, 0, column), (row, side, column, side)]
    rng.shuffle(boxes)
    result = torch.empty_like(views)
    for number, (top, bottom, left, right) in enumerate(boxes):
        rows_B = (others_B + number * 7919) % len(photographs_MSSC)
        tile = views if number == 0 else _as_float(photographs_MSSC, rows_B)
        result[:, :, top:bottom, left:right] = _resized(tile, bottom - top, right - left)
    return result


def _paste(
    views: torch.Tensor,
    photographs_MSSC: NDArray[np.uint8],
    others_B: NDArray[np.int64],
    config: ViewConfig,
    rng: np.random.Generator,
) -> torch.Tensor:
    """A whole photograph, made smaller, somewhere on each view."""
    side = views.shape[-1]
    height, width = (int(side * share) for share in rng.uniform(0.3, 0.7, 2))
    tiles = _resized(_as_float(photographs_MSSC, others_B), height, width)
    result = views.clone()
    for view, tile in zip(result, tiles, strict=True):
        top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
        view[:, top : top + height, left : left + width] = tile
    return result


def _blend(
    views: torch.Tensor,
    photographs_MSSC: NDArray[np.uint8],
    others_B: NDArray[np.int64],
    config: ViewConfig,
    rng: np.random.Generator,
) -> torch.Tensor:
    """A weighted mean of each view and a crop of another photograph (Zhang et al., mixup, ICLR 2018)."""
    weight = torch.from_numpy(rng.uniform(0.5, 0.8, (len(views), 1, 1, 1)).astype(np.float32))
    other = _crops(photographs_MSSC, others_B, views.shape[-1], config, rng)
    return torch.lerp(other, views, weight)


def _recoloured(views: torch.Tensor, config: ViewConfig, rng: np.random.Generator) -> torch.Tensor:
    """Each view's brightness, contrast around its mean, and saturation times a factor."""
    num_views = len(views)
    factors = (1 + config.colour * rng.uniform(-1, 1, (3, num_views, 1, 1, 1))).astype(np.float32)
    factors[2, rng.random(num_views) < config.grey_share] = 0
    brightness, contrast, saturation = torch.from_numpy(factors)
    grey = (views * torch.tensor(_GREY).view(1, 3, 1, 1)).sum(1, keepdim=True)
    views = torch.lerp(grey, views, saturation)
    mean = grey.mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, views, contrast).mul_(brightness).clamp_(0, 1)


def _as_float(photographs_MSSC: NDArray[np.uint8], rows_B: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(photographs_MSSC[rows_B]).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _resized(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return functional.interpolate(images, (height, width), mode="bilinear", antialias=True, align_corners=False)
