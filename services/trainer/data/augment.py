"""Mirrored and cropped training images, each drawn from the seed, the epoch, the step and its own row.

So the same image comes out whichever rank prepares it, and in whatever company.

Shape suffixes: B images, S side of the square, C channels.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from lookalike.errors import InvalidRequest

_PURPOSE = 0x61756776  # keeps these draws apart from others with the same seed, epoch and step


def augment(
    images_BSSC: torch.Tensor,
    rows_B: NDArray[np.int64],
    *,
    mirrored: bool,
    crop_area: float = 1.0,
    seed: int,
    epoch: int,
    step: int,
) -> torch.Tensor:
    """uint8 ``[B, S, S, 3]`` -> the same shape, another tensor where anything is done.

    Args:
        mirrored: each image is turned left to right with probability 1/2.
        crop_area: the least share of the area that a square crop keeps, which is drawn uniformly from there to 1 and
            then enlarged to S by bilinear interpolation; 1 crops nothing.

    Raises InvalidRequest for a share that is not above 0 and at most 1.
    """
    if not 0 < crop_area <= 1:
        raise InvalidRequest(f"crop_area is above 0 and at most 1, not {crop_area}", crop_area=crop_area)
    if not mirrored and crop_area == 1:
        return images_BSSC
    draws = np.stack([np.random.default_rng((_PURPOSE, seed, epoch, step, int(row))).random(4) for row in rows_B])
    if mirrored:
        turn_B = torch.from_numpy(draws[:, 0] < 0.5)
        images_BSSC = torch.where(turn_B.view(-1, 1, 1, 1), images_BSSC.flip(2), images_BSSC)
    if crop_area < 1:
        images_BSSC = _cropped(images_BSSC, crop_area, draws[:, 1:])
    return images_BSSC


def _cropped(images_BSSC: torch.Tensor, crop_area: float, draws_B3: NDArray[np.float64]) -> torch.Tensor:
    extent_B = np.sqrt(crop_area + (1 - crop_area) * draws_B3[:, 0])  # of the side
    affine = np.zeros((len(draws_B3), 2, 3), np.float32)
    for axis in (0, 1):
        affine[:, axis, axis] = extent_B
        affine[:, axis, 2] = (1 - extent_B) * (2 * draws_B3[:, 1 + axis] - 1)
    pixels_BCSS = images_BSSC.permute(0, 3, 1, 2).to(torch.float32)
    grid = functional.affine_grid(torch.from_numpy(affine), list(pixels_BCSS.shape), align_corners=False)
    cropped = functional.grid_sample(pixels_BCSS, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return cropped.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
