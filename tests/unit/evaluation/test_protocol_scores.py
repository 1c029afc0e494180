"""Both protocols on answers worked out by hand, and what they do with queries that cannot be scored."""

import numpy as np
import pytest

from lookalike.evaluation import policies, scoring
from lookalike.evaluation.labels import LabelArrays, Level
from lookalike.evaluation.relevance import Relevance
from lookalike.types.images import Labels

CAT, DOG, NOTHING = Labels.single("cat", "animal"), Labels.single("dog", "animal"), Labels()
ONE = Labels.single("pizza", "food")


def labels_of(*photos, level=Level.SUBCATEGORY):
    return LabelArrays.from_labels(photos).at(level)


def test_standard_by_hand():
    """Query 0 is a cat among 3 other cats (R = 3); hits: cat, dog, cat, nothing returned."""
    labels = labels_of(CAT, CAT, CAT, CAT, DOG, DOG)
    scores = scoring.standard(
        labels, Relevance.SINGLE_LABEL, np.array([0]), np.array([[1, 4, 2, -1]]), np.array([2 / 3]), 4
    )
    values = dict(zip(scores.names, scores.values_QM[0].tolist(), strict=True))
    assert values["precision@4"] == 2 / 4
    assert values["recall@4"] == pytest.approx(2 / 3)
    assert values["mAP@4"] == pytest.approx((1 / 1 + 2 / 3) / 3)
    assert values["nDCG@4"] == pytest.approx((1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3) + 1 / np.log2(4)))
    assert values["hit rate@4"] == 1
    assert values["R-precision"] == 2 / 3


def test_standard_at_the_supercategory_makes_other_animals_relevant():
    labels = labels_of(CAT, DOG, DOG, ONE, level=Level.SUPERCATEGORY)
    scores = scoring.standard(labels, Relevance.SINGLE_LABEL, np.array([0]), np.array([[1, 3]]), None, 2)
    assert dict(zip(scores.names, scores.values_QM[0], strict=True))["precision@2"] == 1 / 2
    assert "R-precision" not in scores.names


def test_standard_leaves_out_and_counts_queries_that_cannot_be_scored():
    labels = labels_of(CAT, CAT, NOTHING, ONE)
    hits = np.array([[1], [0], [0], [0]])
    scores = scoring.standard(labels, Relevance.SINGLE_LABEL, np.arange(4), hits, np.ones(4), 1)
    assert len(scores.values_QM) == 2  # both cats
    assert (scores.num_unlabelled, scores.num_without_relevant) == (1, 1)
    assert scores.values_QM.tolist() == [[1.0] * 6] * 2


def test_standard_with_no_query_to_score():
    scores = scoring.standard(
        labels_of(NOTHING, ONE), Relevance.MULTI_LABEL, np.arange(2), np.array([[1], [0]]), None, 1
    )
    assert scores.values_QM.shape == (0, 5)
    assert (scores.num_unlabelled, scores.num_without_relevant) == (1, 1)


def test_paper_by_hand():
    """Ten neighbours; relevant at ranks 1, 3, 5 and 9: precision@4 = 2 / 10, recall@4 = 2 / 4."""
    photos = [CAT] * 5 + [DOG] * 6
    cats, dogs = iter([1, 2, 3, 4]), iter(range(5, 11))
    hits = [next(cats) if rank in (1, 3, 5, 9) else next(dogs) for rank in range(1, 11)]
    scores = scoring.paper(labels_of(*photos), np.array([0]), np.array([hits]))
    assert scores.names == ("paper precision@4", "paper recall@4")
    assert scores.values_QM.tolist() == [[2 / 10, 2 / 4]]


def test_paper_counts_the_query_itself_where_it_was_retrieved():
    labels = labels_of(CAT, *[DOG] * 9)
    with_self = scoring.paper(labels, np.array([0]), np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]))
    assert with_self.values_QM.tolist() == [[1 / 10, 1.0]]
    without = scoring.paper(labels, np.array([0]), np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9, -1]]))
    assert without.values_QM.tolist() == [[0, 0]]
    assert without.num_without_relevant == 1


def test_paper_divides_by_ten_however_few_were_returned_and_looks_no_further_than_ten():
    labels = labels_of(*[CAT] * 14)
    few = np.array([[1, 2, -1, -1, -1, -1, -1, -1, -1, -1]])
    assert scoring.paper(labels, np.array([0]), few).values_QM.tolist() == [[2 / 10, 1.0]]
    many = np.arange(1, 14)[None]
    assert scoring.paper(labels, np.array([0]), many).values_QM.tolist() == [[4 / 10, 4 / 10]]


def test_paper_leaves_out_unlabelled_queries_and_keeps_those_without_a_relevant_neighbour():
    labels = labels_of(CAT, NOTHING, DOG, DOG)
    hits = np.full((3, 10), -1)
    hits[:, 0] = [2, 2, 3]
    scores = scoring.paper(labels, np.array([0, 1, 2]), hits)
    assert scores.values_QM.tolist() == [[0, 0], [1 / 10, 1.0]]
    assert (scores.num_unlabelled, scores.num_without_relevant) == (1, 1)


def test_policies_say_what_is_done_with_the_query_and_with_queries_without_relevant_images():
    standard = " ".join(policies.policies("standard", self_counts=False, search_depth=1000))
    assert "R = 0" in standard
    assert "own image is excluded" in standard
    assert "at most 1000" in standard
    paper = " ".join(policies.policies("paper", self_counts=False, search_depth=1000))
    assert "is not among its ten neighbours" in paper
    assert "nothing relevant among its ten neighbours scores 0" in paper
    assert "may be one of its ten neighbours" in " ".join(policies.policies("paper", self_counts=True, search_depth=0))
