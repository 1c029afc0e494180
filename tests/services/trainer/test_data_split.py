"""Splits: disjoint, complete, in proportion, and hardly moved by an image more."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.errors import InvalidRequest
from lookalike.types.images import Labels
from services.trainer.data.labelled import LabelledImages, class_codes
from services.trainer.data.split import hold_out_classes, split

seeds = st.integers(0, 2**32)
# Name of an image -> its class; "" for one without.
galleries = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), st.sampled_from("abc"))
shares = st.floats(0.05, 0.95)


def images_of(
    classes: dict[str, str], splits: dict[str, str] | None = None, same: dict[str, str] | None = None
) -> LabelledImages:
    """Images by key, with the class of each; no two have the same bytes, but for those of ``same``."""
    keys = tuple(sorted(classes))
    labels = tuple(Labels.single(classes[key] or None) for key in keys)
    names, codes_N = class_codes(labels)
    return LabelledImages(
        images_NSSC=np.zeros((len(keys), 1, 1, 3), np.uint8),
        keys=keys,
        sha256s=tuple((same or {}).get(key, f"bytes of {key}") for key in keys),
        labels=labels,
        codes_N=codes_N,
        names=names,
        split_N=np.array([(splits or {}).get(key, "") for key in keys], "<U5"),
        digest="",
    )


def numbered(**numbers: int) -> LabelledImages:
    return images_of({f"{name}{i}": name for name, number in numbers.items() for i in range(number)})


def val_keys(images: LabelledImages, val_share: float, seed: int) -> set[str]:
    return {images.keys[row] for row in split(images, val_share=val_share, seed=seed)[1]}


@settings(deadline=None)  # other work may hold the cores
@given(galleries, shares, seeds)
def test_every_image_is_on_one_side_and_each_class_gives_its_share(
    classes: dict[str, str], val_share: float, seed: int
) -> None:
    images = images_of(classes)
    try:
        train, val = split(images, val_share=val_share, seed=seed)
    except InvalidRequest:
        shared = [np.floor(val_share * number + 0.5) for number in np.bincount(images.codes_N, minlength=1)]
        assert sum(shared) in (0, len(classes))  # only where the shares leave a side empty
        return
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(len(classes)))
    assert train.tolist() == sorted(train)
    assert val.tolist() == sorted(val)
    for code in range(len(images.names)):
        of_class = np.flatnonzero(images.codes_N == code)
        assert abs(np.isin(of_class, val).sum() - val_share * len(of_class)) <= 0.5 + 1e-9


@settings(deadline=None)  # other work may hold the cores
@given(galleries.filter(lambda found: len(found) >= 10), seeds, st.text(min_size=9, max_size=9), st.sampled_from("abc"))
def test_an_image_more_moves_at_most_one_other_of_its_class(
    classes: dict[str, str], seed: int, new: str, its_class: str
) -> None:
    new = "new" + new.encode("utf-8", "replace").decode()
    before, after = images_of(classes), images_of({**classes, new: its_class})
    moved = val_keys(before, 0.3, seed) ^ (val_keys(after, 0.3, seed) - {new})
    assert len(moved) <= 1
    assert all(classes[key] == its_class for key in moved)


def test_the_seed_decides() -> None:
    images = numbered(a=40, b=40)
    assert val_keys(images, 0.2, 1) == val_keys(images, 0.2, 1)
    assert val_keys(images, 0.2, 1) != val_keys(images, 0.2, 2)
    assert len(val_keys(images, 0.2, 1)) == 16


def test_images_without_a_class_are_divided_too() -> None:
    images = images_of({f"{i:02}": "" for i in range(10)})
    train, val = split(images, seed=0)
    assert (len(train), len(val)) == (8, 2)


def test_the_sources_own_split_is_kept_and_what_it_leaves_open_is_trained_on() -> None:
    images = images_of(dict.fromkeys("pqrs", "a"), {"p": "val", "q": "train", "r": "val"})
    train, val = split(images, val_share=0.5, seed=0)
    assert (train.tolist(), val.tolist()) == ([1, 3], [0, 2])


@pytest.mark.parametrize("side", ["train", "val"])
def test_a_source_that_names_one_side_only_is_split_by_us(side: str) -> None:
    """As one of COCO's annotation files does."""
    images = numbered(a=10, b=10)
    one_sided = dataclasses.replace(images, split_N=np.full(20, side, "<U5"))
    assert val_keys(one_sided, 0.2, 0) == val_keys(images, 0.2, 0)


def test_a_share_that_leaves_a_side_empty_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="leaves none to validate on"):
        split(numbered(a=2, b=2), val_share=0.2, seed=0)
    with pytest.raises(InvalidRequest, match="leaves none to train on"):
        split(numbered(a=2, b=2), val_share=0.8, seed=0)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(InvalidRequest, match="between 0 and 1"):
        split(numbered(a=9), val_share=share, seed=0)
    with pytest.raises(InvalidRequest, match="between 0 and 1"):
        hold_out_classes(numbered(a=9, b=9), share, 0)


@settings(deadline=None)  # other work may hold the cores
@given(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 4), min_size=2), shares, seeds)
def test_held_out_classes_are_held_out_whole(numbers: dict[str, int], share: float, seed: int) -> None:
    images = numbered(**numbers)
    kept, held = hold_out_classes(images, share, seed)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(images.num_images))
    kept_classes, held_classes = set(images.codes_N[kept].tolist()), set(images.codes_N[held].tolist())
    assert not kept_classes & held_classes
    assert kept_classes
    assert held_classes
    assert len(held_classes) == np.clip(np.floor(share * len(numbers) + 0.5), 1, len(numbers) - 1)


def test_held_out_classes_follow_from_names_and_seed_alone() -> None:
    few, many = numbered(a=1, b=2, c=3, d=1, e=1, f=2), numbered(a=5, b=1, c=1, d=9, e=2, f=3)

    def names(images: LabelledImages, seed: int) -> set[str]:
        return {images.names[images.codes_N[row]] for row in hold_out_classes(images, 1 / 3, seed)[1]}

    assert names(few, 5) == names(many, 5)
    assert len({frozenset(names(few, seed)) for seed in range(20)}) > 5


def test_images_without_a_class_are_neither_kept_nor_held_out() -> None:
    kept, held = hold_out_classes(images_of({"p": "a", "q": "", "r": "b"}), 0.5, 0)
    assert sorted([*kept, *held]) == [0, 2]


def test_one_class_cannot_be_divided() -> None:
    with pytest.raises(InvalidRequest, match="of 1 classes none"):
        hold_out_classes(numbered(a=4), 0.5, 0)


def test_a_file_that_is_there_twice_is_not_trained_on_and_validated_on() -> None:
    classes = {f"a{i}": "a" for i in range(20)}
    alone = val_keys(images_of(classes), 0.25, 0)
    assert len(alone) == 5
    one, *others = sorted(alone)
    trained_on = min(classes.keys() - alone)
    assert val_keys(images_of(classes, same={one: "x", trained_on: "x"}), 0.25, 0) == set(others)
    # Twice on one side does no harm, and is left there.
    assert val_keys(images_of(classes, same={one: "x", others[0]: "x"}), 0.25, 0) == alone


def test_a_source_s_own_split_with_the_same_file_on_both_sides() -> None:
    images = images_of(
        {"a": "a", "b": "a", "c": "a"}, {"a": "train", "b": "val", "c": "val"}, same={"a": "x", "b": "x"}
    )
    assert [side.tolist() for side in split(images, seed=0)] == [[0, 1], [2]]
