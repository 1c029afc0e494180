"""Every metric is documented, and the page says what the code does."""

from pages import DOCS, generator

from lookalike.telemetry import declared


def test_the_page_is_what_the_code_says() -> None:
    assert (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8") == generator().metrics_page(), "make docs"


def test_every_metric_is_in_it_under_the_name_to_ask_for() -> None:
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    for metric in declared.ALL:
        assert f"| `{metric.exposed}` | {metric.kind} |" in page
