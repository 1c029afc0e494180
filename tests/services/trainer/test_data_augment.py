"""Augmentation: what may come out, and that neither rank nor company matters."""

import numpy as np
import pytest
import torch

from lookalike.errors import InvalidRequest
from services.trainer.data.augment import augment

torch.set_num_threads(1)


def images(num: int = 6, side: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (num, side, side, 3), np.uint8))


def augmented(drawn: torch.Tensor, rows: np.ndarray, step: int = 0, epoch: int = 0, seed: int = 0) -> torch.Tensor:
    return augment(drawn, rows, mirrored=True, crop_area=0.5, seed=seed, epoch=epoch, step=step)


def test_nothing_is_done_unless_asked() -> None:
    drawn = images()
    assert torch.equal(augment(drawn, np.arange(6), mirrored=False, seed=0, epoch=0, step=0), drawn)


def test_mirroring_turns_half_of_the_images_left_to_right() -> None:
    drawn = images(400, 4)
    before = drawn.clone()
    out = augment(drawn, np.arange(400), mirrored=True, seed=0, epoch=0, step=0)
    turned = (out == drawn.flip(2)).flatten(1).all(1)
    kept = (out == drawn).flatten(1).all(1)
    assert bool((turned ^ kept).all())
    assert 150 < int(turned.sum()) < 250
    assert torch.equal(drawn, before)


def test_a_crop_keeps_shape_type_and_colour_and_shows_a_part() -> None:
    """On a slope from left to right the values that remain span the square root of the area."""
    slope = torch.arange(0, 256, 4, dtype=torch.uint8).view(1, 1, 64, 1).expand(50, 64, 64, 3)
    out = augment(slope, np.arange(50), mirrored=False, crop_area=0.25, seed=0, epoch=0, step=0)
    assert out.shape == slope.shape
    assert out.dtype == torch.uint8
    width = (out[:, 0, -1, 0].int() - out[:, 0, 0, 0].int()) / 252
    assert 0.45 < float(width.min()) < 0.7
    assert 0.9 < float(width.max()) <= 1
    assert int(out[:, 0, 0, 0].max()) > 60  # some crops begin further right
    grey = torch.full((80, 8, 8, 3), 77, dtype=torch.uint8)
    assert torch.equal(augmented(grey, np.arange(80)), grey)  # no border comes in


def test_neither_rank_nor_company_matters() -> None:
    drawn, rows = images(), np.array([5, 0, 3, 9, 1, 7])
    whole = augmented(drawn, rows)
    halves = torch.cat([augmented(drawn[:2], rows[:2]), augmented(drawn[2:], rows[2:])])
    order = np.array([3, 1, 5, 0, 2, 4])
    assert torch.equal(whole, halves)
    assert torch.equal(augmented(drawn[order], rows[order]), whole[order])


def test_every_step_epoch_seed_and_row_draws_anew() -> None:
    drawn, rows = images(), np.arange(6)
    first = augmented(drawn, rows)
    assert torch.equal(first, augmented(drawn, rows))
    for other in ({"step": 1}, {"epoch": 1}, {"seed": 1}):
        assert not torch.equal(first, augmented(drawn, rows, **other))
    assert not torch.equal(first, augmented(drawn, rows + 1))


@pytest.mark.parametrize("crop_area", [0, -0.1, 1.1])
def test_an_area_that_is_no_share_is_refused(crop_area: float) -> None:
    with pytest.raises(InvalidRequest, match="crop_area"):
        augment(images(), np.arange(6), mirrored=False, crop_area=crop_area, seed=0, epoch=0, step=0)
