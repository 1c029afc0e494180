"""Batches: what each kind of balance promises, and that seed and epoch say everything."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import InvalidRequest
from services.trainer.data.batches import class_weights, epoch_rows, rank_slice

Balance = Literal["none", "sampling", "per_class"]
seeds = st.integers(0, 2**32)
codes_lists = st.lists(st.integers(0, 5), min_size=1, max_size=60)


def spread(rows: list[np.ndarray]) -> list[int]:
    return [int(row) for batch in rows for row in batch]


@settings(deadline=None)  # other work may hold the cores
@given(codes_lists, st.integers(1, 20), seeds, st.integers(0, 5))
def test_without_balance_each_row_comes_once(codes: list[int], batch_size: int, seed: int, epoch: int) -> None:
    rows = np.arange(len(codes)) * 3  # rows need not be all that there are
    batches = epoch_rows(rows, np.zeros(3 * len(codes), np.int64), batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(spread(batches)) == rows.tolist()
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert len(batches[-1]) <= batch_size + 1
    assert all(batch.dtype == np.int64 for batch in batches)


@pytest.mark.parametrize(
    ("num_rows", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (1, [1]), (3, [3]), (5, [5])]
)
def test_a_last_single_row_joins_the_batch_before(num_rows: int, sizes: list[int]) -> None:
    batches = epoch_rows(np.arange(num_rows), np.zeros(num_rows, np.int64), batch_size=4, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == sizes


@pytest.mark.parametrize("balance", ["none", "sampling", "per_class"])
def test_seed_and_epoch_say_everything(balance: Balance) -> None:
    codes = np.repeat(np.arange(4), 16)

    def drawn(seed: int, epoch: int) -> list[int]:
        return spread(
            epoch_rows(np.arange(64), codes, batch_size=8, seed=seed, epoch=epoch, balance=balance, images_per_class=2)
        )

    assert drawn(1, 3) == drawn(1, 3)
    assert len({tuple(drawn(seed, epoch)) for seed, epoch in ((1, 3), (1, 4), (2, 3), (3, 1))}) == 4


@settings(deadline=None)  # other work may hold the cores
@given(codes_lists, seeds)
def test_sampling_shows_every_class_as_often(codes: list[int], seed: int) -> None:
    labels = np.array(codes)
    batches = epoch_rows(np.arange(len(codes)), labels, batch_size=7, seed=seed, epoch=0, balance="sampling")
    drawn = np.array(spread(batches))
    assert len(drawn) == len(codes)
    present = np.unique(labels)
    of_class = [int((labels[drawn] == code).sum()) for code in present]
    assert max(of_class) - min(of_class) <= 1
    for code, number in zip(present, of_class, strict=True):
        times = np.bincount(drawn[labels[drawn] == code], minlength=len(codes))[labels == code]
        assert times.max() - times.min() <= 1  # none again before all of its class
        assert times.sum() == number


def test_sampling_mixes_the_classes_within_a_batch() -> None:
    codes = np.repeat(np.arange(4), 100)
    batches = epoch_rows(np.arange(400), codes, batch_size=40, seed=0, epoch=0, balance="sampling")
    assert all(len(np.unique(codes[batch])) == 4 for batch in batches)


@settings(deadline=None)  # other work may hold the cores
@given(st.lists(st.integers(1, 9), min_size=2, max_size=7), st.integers(2, 4), st.integers(1, 4), st.data(), seeds)
def test_per_class_fills_each_batch_with_p_times_k(
    numbers: list[int], num_classes: int, images_per_class: int, data: st.DataObject, seed: int
) -> None:
    num_classes = min(num_classes, len(numbers))
    codes = np.array(data.draw(st.permutations(np.repeat(np.arange(len(numbers)), numbers).tolist())))
    batches = epoch_rows(
        np.arange(len(codes)),
        codes,
        batch_size=num_classes * images_per_class,
        seed=seed,
        epoch=0,
        balance="per_class",
        images_per_class=images_per_class,
    )
    assert len(batches) == max(1, round(len(codes) / (num_classes * images_per_class)))
    uses = np.zeros(len(numbers), np.int64)
    for batch in batches:
        present, times = np.unique(codes[batch], return_counts=True)
        assert len(present) == num_classes
        assert (times == images_per_class).all()
        uses[present] += 1
        for code in present:
            again = np.bincount(batch[codes[batch] == code]).max()
            assert again <= -(-images_per_class // numbers[code])  # repeated only where it is too few
    assert uses.max() - uses.min() <= 1  # classes take turns


def test_per_class_repeats_no_image_within_a_batch_where_there_are_enough() -> None:
    codes = np.repeat(np.arange(3), 5)
    for epoch in range(50):
        for batch in epoch_rows(
            np.arange(15), codes, batch_size=6, seed=0, epoch=epoch, balance="per_class", images_per_class=3
        ):
            assert len(np.unique(batch)) == 6


@pytest.mark.parametrize(("batch_size", "images_per_class"), [(7, 2), (2, 2), (8, 2), (16, 4)])
def test_a_batch_that_the_classes_cannot_fill_is_refused(batch_size: int, images_per_class: int) -> None:
    with pytest.raises(InvalidRequest, match="the data has 3"):
        epoch_rows(
            np.arange(9),
            np.repeat(np.arange(3), 3),
            batch_size=batch_size,
            seed=0,
            epoch=0,
            balance="per_class",
            images_per_class=images_per_class,
        )


def test_what_cannot_be_drawn_is_refused() -> None:
    unlabelled = np.array([0, 1, -1])
    for balance in ("sampling", "per_class"):
        with pytest.raises(InvalidRequest, match="1 images have no label"):
            epoch_rows(np.arange(3), unlabelled, batch_size=4, seed=0, epoch=0, balance=balance)  # type: ignore[arg-type]
    assert spread(epoch_rows(np.array([2]), unlabelled, batch_size=4, seed=0, epoch=0)) == [2]
    with pytest.raises(InvalidRequest, match="no image"):
        epoch_rows(np.arange(0), unlabelled, batch_size=4, seed=0, epoch=0)
    with pytest.raises(InvalidRequest, match="at least 1"):
        epoch_rows(np.arange(2), unlabelled, batch_size=0, seed=0, epoch=0)


@settings(deadline=None)  # other work may hold the cores
@given(st.integers(0, 40), st.integers(1, 9))
def test_the_ranks_slices_are_the_batch(size: int, world_size: int) -> None:
    batch = np.arange(size) * 7
    slices = [rank_slice(batch, rank, world_size) for rank in range(world_size)]
    assert np.concatenate(slices).tolist() == batch.tolist()
    sizes = [len(part) for part in slices]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("rank", [-1, 2])
def test_there_is_no_other_rank(rank: int) -> None:
    with pytest.raises(InvalidRequest, match=f"rank {rank} is not one of 2"):
        rank_slice(np.arange(4), rank, 2)


def test_class_weights_by_hand() -> None:
    """Six images in classes of 1, 2, 3, 0: 6 / (3 x 1), 6 / (3 x 2), 6 / (3 x 3), and nothing for the absent one."""
    codes = np.array([0, 1, 1, 2, 2, 2])
    weights = class_weights(codes, 4)
    np.testing.assert_allclose(weights, [2, 1, 2 / 3, 0], rtol=1e-6)
    assert weights.dtype == np.float32
    assert weights[codes].mean() == pytest.approx(1)


@settings(deadline=None)  # other work may hold the cores
@given(codes_lists)
def test_weighted_classes_count_alike_and_the_mean_image_counts_one(codes: list[int]) -> None:
    labels = np.array(codes)
    weights = class_weights(labels, 6)
    assert weights[labels].mean() == pytest.approx(1, rel=1e-5)
    totals = np.bincount(labels, weights=weights[labels], minlength=6)[np.unique(labels)]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)


def test_images_without_a_label_have_no_class_weights() -> None:
    with pytest.raises(InvalidRequest, match="1 images have no label"):
        class_weights(np.array([0, -1]), 2)
