"""Which image is relevant to which: single- and multi-label, at both levels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.evaluation.labels import LabelArrays, Level
from lookalike.evaluation.relevance import Relevance, count_relevant, is_labelled, relevant_hits
from lookalike.types.images import Labels

TAXONOMY = {"cat": "animal", "dog": "animal", "pizza": "food"}


def photo(*subs, one=None):
    supers = tuple(sorted({TAXONOMY[sub] for sub in subs}))
    return Labels(
        subcategory=one,
        supercategory=TAXONOMY[one] if one else None,
        subcategories=tuple(sorted(subs)),
        supercategories=supers,
    )


# 0 cat; 1 cat; 2 dog; 3 cat and dog, no single label; 4 pizza and cat, pizza being the one; 5 nothing
PHOTOS = [
    photo("cat", one="cat"),
    photo("cat", one="cat"),
    photo("dog", one="dog"),
    photo("cat", "dog"),
    photo("pizza", "cat", one="pizza"),
    photo(),
]
ROWS = np.arange(6)
EXPECTED = {
    (Level.SUBCATEGORY, Relevance.SINGLE_LABEL): ["01", "01", "2", "", "4", ""],
    (Level.SUBCATEGORY, Relevance.MULTI_LABEL): ["0134", "0134", "23", "01234", "0134", ""],
    (Level.SUPERCATEGORY, Relevance.SINGLE_LABEL): ["012", "012", "012", "", "4", ""],
    (Level.SUPERCATEGORY, Relevance.MULTI_LABEL): ["01234"] * 5 + [""],
}


@pytest.mark.parametrize(("kind", "expected"), EXPECTED.items(), ids=str)
def test_relevance_counts_and_labels_agree_with_the_rules(kind, expected):
    level, relevance = kind
    labels = LabelArrays.from_labels(PHOTOS).at(level)
    relevant = relevant_hits(labels, relevance, ROWS, np.tile(ROWS, (6, 1)))
    assert ["".join(str(hit) for hit in np.flatnonzero(row)) for row in relevant] == expected
    assert count_relevant(labels, relevance, ROWS, self_counts=True).tolist() == [len(row) for row in expected]
    others = [len(row.replace(str(query), "")) for query, row in enumerate(expected)]
    assert count_relevant(labels, relevance, ROWS, self_counts=False).tolist() == others
    assert is_labelled(labels, relevance, ROWS).tolist() == [bool(row) for row in expected]


def test_padding_is_never_relevant():
    labels = LabelArrays.from_labels([photo("cat", one="cat")] * 3).at(Level.SUBCATEGORY)
    for relevance in Relevance:
        assert relevant_hits(labels, relevance, np.array([0]), np.array([[1, -1, 2, -1]])).tolist() == [
            [True, False, True, False]
        ]


def test_unlabelled_images_are_not_relevant_to_each_other():
    labels = LabelArrays.from_labels([photo(), photo()]).at(Level.SUBCATEGORY)
    for relevance in Relevance:
        assert not relevant_hits(labels, relevance, np.array([0]), np.array([[1]])).any()
        assert count_relevant(labels, relevance, np.array([0, 1]), self_counts=True).tolist() == [0, 0]


@given(st.lists(st.sets(st.integers(0, 130), max_size=4), min_size=1, max_size=12))
def test_label_sets_of_more_than_64_labels_are_compared_like_sets(sets):
    """Packed bits over several words mean exactly what Python's sets mean."""
    photos = [Labels(subcategories=tuple(sorted(f"{label:03d}" for label in one))) for one in sets]
    labels = LabelArrays.from_labels(photos).at(Level.SUBCATEGORY)
    rows = np.arange(len(sets))
    relevant = relevant_hits(labels, Relevance.MULTI_LABEL, rows, np.tile(rows, (len(sets), 1)))
    shared = [[not one.isdisjoint(other) for other in sets] for one in sets]
    assert relevant.tolist() == shared
    assert count_relevant(labels, Relevance.MULTI_LABEL, rows, self_counts=True).tolist() == np.sum(shared, 1).tolist()
