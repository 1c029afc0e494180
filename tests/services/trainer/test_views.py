"""Views of photographs: the same for the same seed, in the shares wanted, and never far from what was there."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.trainer.views import ViewConfig, draw_views

torch.set_num_threads(1)
SIDE = 32
# A whole photograph as it is, but perhaps mirrored.
PLAIN = ViewConfig(
    crop_area=(1, 1), aspect=1, rotation_deg=0, mosaic_share=0, paste_share=0, blend_share=0, colour=0, grey_share=0
)
COLOURS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0], [0, 250, 250]], np.uint8)


def plain(**changes: object) -> ViewConfig:
    return ViewConfig.model_validate({**PLAIN.model_dump(), **changes})


def uniform() -> NDArray[np.uint8]:
    """Five photographs, each of one colour."""
    return np.broadcast_to(COLOURS[:, None, None], (5, SIDE, SIDE, 3)).copy()


def noisy(num_photographs: int = 6) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (num_photographs, SIDE, SIDE, 3), np.uint8)


def drawn(photographs: NDArray[np.uint8], config: ViewConfig, num_views: int = 40, seed: int = 0) -> NDArray[np.uint8]:
    rows = np.arange(num_views) % len(photographs)
    return np.asarray(draw_views(photographs, rows, SIDE, config, (seed, 0, 0)).numpy())


def counted(view: NDArray[np.uint8]) -> dict[int, float]:
    """The share of a view's pixels that has each of the colours, to within rounding; -1 has none of them."""
    nearest = np.abs(view[:, :, None].astype(int) - COLOURS).max(-1)
    found = np.where(nearest.min(-1) <= 2, nearest.argmin(-1), -1)
    return {int(code): float((found == code).mean()) for code in np.unique(found)}


def test_a_plain_view_is_the_photograph_or_its_mirror_image() -> None:
    photographs = noisy()
    mirrored = 0
    for number, view in enumerate(drawn(photographs, PLAIN)):
        photograph = photographs[number % 6].astype(int)
        as_is = np.abs(view - photograph).max()
        turned = np.abs(view - photograph[:, ::-1]).max()
        assert min(as_is, turned) <= 1  # of rounding
        mirrored += turned < as_is
    assert 10 <= mirrored <= 30


def test_the_same_seed_gives_the_same_views() -> None:
    photographs = noisy()
    views = drawn(photographs, ViewConfig())
    assert (views.shape, views.dtype) == ((40, SIDE, SIDE, 3), np.uint8)
    np.testing.assert_array_equal(drawn(photographs, ViewConfig()), views)
    assert (drawn(photographs, ViewConfig(), seed=1) != views).mean() > 0.5


def test_photographs_are_left_as_they_were() -> None:
    photographs = noisy()
    before = photographs.copy()
    photographs.flags.writeable = False  # as those are that are mapped from a file
    drawn(photographs, ViewConfig())
    np.testing.assert_array_equal(photographs, before)


def test_a_mosaic_is_four_photographs_side_by_side() -> None:
    views = drawn(uniform(), plain(mosaic_share=1))
    own = []
    for number, view in enumerate(views):
        shares = counted(view)
        shares.pop(-1, None)
        own.append(shares.get(number % 5, 0))
        assert sum(shares.values()) == pytest.approx(1)  # edges between, nothing blended
        for corner in (view[0, 0], view[0, -1], view[-1, 0], view[-1, -1]):
            assert np.abs(corner.astype(int) - COLOURS).max(-1).min() <= 2
    assert min(own) >= 0.35**2 - 0.05  # its own quarter is there


def test_a_paste_covers_part_of_each_view() -> None:
    views = drawn(uniform(), plain(paste_share=1))
    covered = []
    for number, view in enumerate(views):
        shares = counted(view)
        assert len(shares) <= 2
        own = shares[number % 5]
        assert 1 - 0.7**2 - 0.01 <= own <= 1
        if own < 1:
            covered.append(1 - own)
    assert len(covered) > 20
    assert min(covered) >= 0.28**2 - 0.01


def test_a_blend_is_between_two_photographs_and_nearer_its_own() -> None:
    photographs = np.stack([np.zeros((SIDE, SIDE, 3)), np.full((SIDE, SIDE, 3), 200)]).astype(np.uint8)
    views = drawn(photographs, plain(blend_share=1)).astype(int)
    assert np.ptp(views, axis=(1, 2, 3)).max() == 0
    values = views[:, 0, 0, 0]
    blended = (values != 0) & (values != 200)
    assert 8 <= blended.sum() <= 32  # half of the others are the same photograph
    of_dark = np.arange(40) % 2 == 0
    assert values[of_dark].max() <= 100
    assert values[~of_dark].min() >= 100


def test_shares_are_of_all_views() -> None:
    """What each kind leaves in one colour, on 400 views: half are single crops."""
    config = plain(mosaic_share=0.2, paste_share=0.2, blend_share=0.1)
    photographs = np.concatenate([uniform(), uniform()])[:5]
    alone = sum(len(counted(view)) == 1 and -1 not in counted(view) for view in drawn(photographs, config, 400))
    # The mixed ones are of one colour too where all that was drawn is the same photograph: 1 in 5 for two.
    assert 0.48 <= alone / 400 <= 0.66
    assert sum(len(counted(view)) == 1 for view in drawn(photographs, PLAIN, 100)) == 100


def test_grey_loses_all_colour_and_keeps_the_brightness() -> None:
    views = drawn(uniform(), plain(grey_share=1)).astype(int)
    assert np.ptp(views, axis=-1).max() == 0
    expected = (COLOURS @ np.array([0.299, 0.587, 0.114])).round()
    np.testing.assert_allclose(views[:5, 0, 0, 0], expected, atol=1)


@given(st.floats(0, 1), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_colours_change_by_at_most_their_strength(strength: float, seed: int) -> None:
    """Of a uniform grey only the brightness can change; contrast and saturation are around it."""
    photographs = np.full((2, SIDE, SIDE, 3), 120, np.uint8)
    views = drawn(photographs, plain(colour=strength), 4, seed).astype(int)
    assert np.ptp(views, axis=(1, 2, 3)).max() <= 1
    assert 120 * (1 - strength) - 1 <= views.min()
    assert views.max() <= 120 * (1 + strength) + 1


@given(
    st.floats(0.05, 1),
    st.floats(1, 3),
    st.floats(0, 180),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_no_view_shows_a_value_that_no_photograph_has(
    area: float, aspect: float, angle: float, shares: list[float], seed: int
) -> None:
    """However it is turned, cut and mixed: bilinear interpolation and reflected edges stay within the range."""
    total = max(1.0, sum(shares) * 1.001)
    config = plain(
        crop_area=(area, 1),
        aspect=aspect,
        rotation_deg=angle,
        mosaic_share=shares[0] / total,
        paste_share=shares[1] / total,
        blend_share=shares[2] / total,
    )
    photographs = np.random.default_rng(seed).integers(60, 190, (5, SIDE, SIDE, 3), np.uint8)
    views = drawn(photographs, config, 6, seed)
    assert views.min() >= 59
    assert views.max() <= 190


def test_a_crop_keeps_the_share_of_the_area_that_is_wanted() -> None:
    """A ramp from left to right and one from top to bottom: their spans in the view are those of the crop."""
    ramp = np.linspace(0, 255, SIDE)
    photograph = np.zeros((1, SIDE, SIDE, 3))
    photograph[..., 0] = ramp
    photograph[..., 1] = ramp[:, None]
    views = drawn(photograph.round().astype(np.uint8), plain(crop_area=(0.25, 0.25)), 20).astype(float)
    spans = np.ptp(views, axis=(1, 2))[:, :2] / 255 * (SIDE - 1) / SIDE
    np.testing.assert_allclose(spans, 0.5, atol=0.03)
    corners = views[:, :, :, 0].min((1, 2))
    assert np.ptp(corners) > 40  # and it is not always the same place


def test_views_are_made_at_any_side() -> None:
    views = draw_views(noisy(), np.arange(6), 17, ViewConfig(), (3,))
    assert views.shape == (6, 17, 17, 3)
