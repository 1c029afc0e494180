"""The table: which figures of an evaluation stand in it, and the 2021 study's beside them."""

import pytest

from lookalike.evaluation.bootstrap import Interval
from lookalike.evaluation.document import EvaluationDocument, Result
from services.trainer.study.result import PublishedFigure
from services.trainer.study.table import NOT_GIVEN, published_cell, rows, with_interval


def interval(mean):
    return Interval(mean=mean, low=mean - 0.1, high=mean + 0.1)


def result(level, relevance, metrics):
    return Result(
        model="alpha@1",
        backend="exact",
        index="x",
        level=level,
        relevance=relevance,
        metrics={name: interval(mean) for name, mean in metrics.items()},
        num_scored=7,
        num_unlabelled=0,
        num_without_relevant=0,
        num_not_embedded=0,
        num_ranked_exactly=0,
        knn_recall=1.0,
        latency_ms={"p50": 1.0, "p95": 1.0, "p99": 1.0},
        num_timed=1,
        build_s=0.1,
        index_bytes=1,
    )


def document(protocol, results):
    return EvaluationDocument(
        evaluation_id="0" * 32,
        gallery="study",
        protocol=protocol,
        k=4,
        num_queries=7,
        num_images=8,
        seed=0,
        self_counts=False,
        created_at="2026-01-01T00:00:00+00:00",
        machine="m",
        policies=("p",),
        results=tuple(results),
    )


DOCUMENTS = [
    document(
        "standard",
        [
            result("subcategory", "single-label", {"precision@4": 0.4, "recall@4": 0.3, "mAP@4": 0.2}),
            result("subcategory", "multi-label", {"precision@4": 0.9, "recall@4": 0.8, "mAP@4": 0.7}),
        ],
    ),
    document("paper", [result("subcategory", "single-label", {"paper precision@4": 0.15, "paper recall@4": 0.6})]),
]
THEIRS = PublishedFigure(model="alpha", backend="exact", level="subcategory", precision=0.25, source="a test's")


def test_single_label_figures_of_both_protocols():
    standard, paper = rows(DOCUMENTS, {"alpha@1": "alpha"})
    assert (standard.model, standard.protocol, standard.precision.mean, standard.recall.mean) == (
        "alpha",
        "standard",
        0.4,
        0.3,
    )
    assert (paper.protocol, paper.precision, paper.recall) == ("paper", interval(0.15), interval(0.6))
    assert paper.num_scored == 7
    assert {standard.study_precision, standard.study_recall, paper.study_precision, paper.study_recall} == {None}


def test_a_published_figure_stands_under_the_studys_own_protocol_only():
    standard, paper = rows(DOCUMENTS, {"alpha@1": "alpha"}, [THEIRS])
    assert (paper.study_precision, paper.study_recall, paper.study_source) == (0.25, None, "a test's")
    assert standard.study_precision is None
    other = THEIRS.model_copy(update={"backend": "faiss"})
    assert rows(DOCUMENTS, {"alpha@1": "alpha"}, [other])[1].study_precision is None


def test_two_published_figures_of_one_line_are_refused():
    with pytest.raises(ValueError, match="alpha, exact, subcategory"):
        rows(DOCUMENTS, {"alpha@1": "alpha"}, [THEIRS, THEIRS.model_copy(update={"precision": 0.3})])


def test_cells():
    assert with_interval(Interval(mean=0.4, low=0.3, high=0.5)) == "0.400 (0.300 to 0.500)"
    assert with_interval(Interval(mean=0.1, low=-0.02, high=0.2), signed=True) == "+0.100 (-0.020 to +0.200)"
    assert with_interval(Interval(mean=-1e-4, low=-4e-4, high=0), signed=True) == "+0.000 (+0.000 to +0.000)"
    assert with_interval(Interval(mean=None, low=None, high=None)) == "–"
    assert published_cell(None) == NOT_GIVEN
    assert published_cell(0.25) == "0.250"
