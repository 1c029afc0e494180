"""The report says everything, in HTML and in JSON, and is read back from the store as it was written."""

from html import unescape

from lookalike.evaluation.bootstrap import Interval
from lookalike.evaluation.document import EvaluationDocument, Result
from lookalike.evaluation.html import evaluation_html
from lookalike.evaluation.policies import policies
from lookalike.evaluation.table import evaluation_rows

NOTHING = Interval(mean=None, low=None, high=None)


def result(**said):
    values = {
        "model": "<b>@1",
        "backend": "exact",
        "index": "exact-1",
        "level": "subcategory",
        "relevance": "single-label",
        "metrics": {"precision@4": Interval(mean=0.5, low=0.4375, high=0.5625), "R-precision": NOTHING},
        "num_scored": 20,
        "num_unlabelled": 3,
        "num_without_relevant": 1,
        "num_not_embedded": 0,
        "num_ranked_exactly": 7,
        "knn_recall": 0.98765,
        "latency_ms": {"p50": 1.25, "p95": 2.5, "p99": 3.75},
        "num_timed": 20,
        "build_s": 0.5,
        "index_bytes": 2_000_000,
        **said,
    }
    return Result.model_validate(values)


DOCUMENT = EvaluationDocument(
    evaluation_id="0" * 32,
    gallery="<script>",
    protocol="standard",
    k=4,
    num_queries=24,
    num_images=24,
    seed=3,
    self_counts=False,
    created_at="2026-11-24T00:00:00+00:00",
    machine="x86_64",
    policies=policies("standard", self_counts=False, search_depth=1000),
    results=(result(), result(level="supercategory", relevance="multi-label", backend="annoy")),
)


def test_json_is_read_back_as_it_was_also_where_nothing_was_measured():
    assert EvaluationDocument.model_validate_json(DOCUMENT.model_dump_json()) == DOCUMENT


def test_html_has_a_figure_and_a_table_for_each_level_and_every_policy():
    page = evaluation_html(DOCUMENT)
    assert page.count("<table>") == page.count("<svg role") == 2
    for title in ("subcategory, single-label relevance", "supercategory, multi-label relevance"):
        assert f"<h2>{title}</h2>" in page
    for policy in DOCUMENT.policies:
        assert policy in unescape(page)
    for said in ("0.500", "0.438 to 0.562", "0.9877", "1.25 / 2.50 / 3.75", "of 20 searches", "2.00", "seed 3"):
        assert said in page, said
    assert "3 unlabelled, 1 without relevant, 7 R-precision by exact ranking" in page
    assert "–" in page  # R-precision was not measured


def test_html_escapes_what_others_named():
    page = evaluation_html(DOCUMENT)
    assert "<script>" not in page
    assert "<b>" not in page


def test_html_needs_nothing_from_elsewhere():
    """It is served under a content security policy that lets nothing be loaded."""
    page = evaluation_html(DOCUMENT)
    for loads in ("src=", "href=", "url(", "@import"):
        assert loads not in page


def test_a_figure_without_a_mean_has_no_bar():
    empty = DOCUMENT.model_copy(update={"results": (result(metrics={"precision@4": NOTHING}),)})
    assert "<rect" not in evaluation_html(empty)
    assert "<rect" in evaluation_html(DOCUMENT)


def test_rows_name_level_and_relevance_shortly():
    rows, columns = evaluation_rows(DOCUMENT)
    assert columns == ["model", "backend", "level", "precision@4", "R-precision", "knn", "p50 ms"]
    assert [rows[0][column] for column in columns] == ["<b>@1", "exact", "sub, single", "0.500", "–", "0.988", "1.25"]
    assert rows[1]["level"] == "super, multi"
