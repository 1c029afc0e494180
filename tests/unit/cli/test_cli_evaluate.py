"""evaluate: the table, the document and the report."""

from pathlib import Path

import pytest
from cli_outcome import INSTALLED, Cli


def test_all_live_backends_are_measured_and_the_report_is_written(ready: Cli, tmp_path: Path) -> None:
    said = ready("evaluate", "colors", "-k", "4", "--report", tmp_path / "report.html")
    assert said.status == 0
    assert "precision@4" in said.out
    assert f"wrote {tmp_path / 'report.html'}" in said.err
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert report.lstrip().lower().startswith("<!doctype html>")
    for backend in INSTALLED:
        assert backend in said.out
        assert backend in report


def test_the_document_holds_every_pair_level_and_relevance(ready: Cli) -> None:
    document = ready("evaluate", "colors", "-b", "exact", "-b", "qdrant", "-k", "5", "--json").document
    assert {result["backend"] for result in document["results"]} == {"exact", "qdrant"}
    assert (document["protocol"], document["k"], document["num_queries"]) == ("standard", 5, 24)
    assert len(document["results"]) == 2 * 4
    assert all(result["metrics"]["precision@5"]["mean"] == 1 for result in document["results"])  # colours are easy


def test_a_sample_of_queries_is_taken_by_its_seed(ready: Cli) -> None:
    first = ready("evaluate", "colors", "-b", "exact", "--queries", "6", "--seed", "3", "--json").document
    assert first["num_queries"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "own"], "protocol is one of standard, paper, not 'own'"),
        (["--self-counts"], "self_counts is an option of protocol paper"),
        (["-b", "faust"], "color_edges@1 has no faust index live"),
        (["-m", "absent"], "'absent' is not live"),
        (["-k", "0"], "Invalid value for '-k'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(ready: Cli, arguments: list[str], message: str) -> None:
    assert ready("evaluate", "colors", *arguments).error.startswith(message)
