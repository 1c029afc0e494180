"""An evaluation as a table for people."""

from lookalike.evaluation.document import EvaluationDocument


def evaluation_rows(document: EvaluationDocument) -> tuple[list[dict[str, object]], list[str]]:
    """A row for each result, and the columns in their order."""
    names = list(dict.fromkeys(name for result in document.results for name in result.metrics))
    rows: list[dict[str, object]] = [
        {
            "model": result.model,
            "backend": result.backend,
            "level": f"{result.level.removesuffix('category')}, {result.relevance.removesuffix('-label')}",
            **{name: number(value.mean) for name, value in result.metrics.items()},
            "knn": number(result.knn_recall),
            "p50 ms": f"{result.latency_ms['p50']:.2f}",
        }
        for result in document.results
    ]
    return rows, ["model", "backend", "level", *names, "knn", "p50 ms"]


def number(value: float | None) -> str:
    """Three digits; a dash where nothing was measured."""
    return "–" if value is None else f"{value:.3f}"
