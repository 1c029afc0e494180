"""An evaluation as one HTML page that needs nothing else."""

from html import escape

from lookalike.evaluation.document import EvaluationDocument, Result
from lookalike.evaluation.figure import precision_figure
from lookalike.evaluation.table import number

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}small{color:#777}svg{vertical-align:middle}
"""


def evaluation_html(document: EvaluationDocument) -> str:
    """The whole report: figure and table for each level and relevance, then what was done."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in document.results:
        groups.setdefault((result.level, result.relevance), []).append(result)
    sections = "".join(
        f"<h2>{escape(level)}, {escape(relevance)} relevance</h2>{precision_figure(results)}{_table(results)}"
        for (level, relevance), results in groups.items()
    )
    policies = "".join(f"<li>{escape(policy)}</li>" for policy in document.policies)
    facts = (
        f"{document.num_queries} queries (seed {document.seed}) against {document.num_images} images, "
        f"protocol {document.protocol}, k = {document.k}, {document.created_at}, {document.machine}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(document.gallery)}</title>"
        f"<style>{_STYLE}</style><h1>Evaluation of {escape(document.gallery)}</h1><p>{escape(facts)}</p>"
        f"{sections}<h2>How it was measured</h2><ul>{policies}</ul>"
        "<p>Means over queries with 95 % bootstrap intervals. Every search went through the function that "
        "answers searches over HTTP.</p></html>"
    )


def _table(results: list[Result]) -> str:
    names = list(results[0].metrics)
    columns = ("model", "backend", *names, "queries", "knn recall", "p50 / p95 / p99 ms", "build s", "MB")
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    return f"<table><tr>{head}</tr>{''.join(_row(result, names) for result in results)}</table>"


def _row(result: Result, names: list[str]) -> str:
    cells = [f"<td>{escape(result.model)}</td><td>{escape(result.backend)}</td>"]
    for name in names:
        value = result.metrics[name]
        cells.append(f"<td>{number(value.mean)}<br><small>{number(value.low)} to {number(value.high)}</small></td>")
    latency = " / ".join(f"{result.latency_ms[name]:.2f}" for name in ("p50", "p95", "p99"))
    cells.append(
        f"<td>{result.num_scored}<br><small>{_not_scored(result)}</small></td><td>{result.knn_recall:.4f}</td>"
        f"<td>{latency}<br><small>of {result.num_timed} searches</small></td>"
        f"<td>{result.build_s:.2f}</td><td>{result.index_bytes / 1e6:.2f}</td>"
    )
    return f"<tr>{''.join(cells)}</tr>"


def _not_scored(result: Result) -> str:
    said = (
        (result.num_unlabelled, "unlabelled"),
        (result.num_without_relevant, "without relevant"),
        (result.num_not_embedded, "not embedded"),
        (result.num_ranked_exactly, "R-precision by exact ranking"),
    )
    return ", ".join(f"{count} {what}" for count, what in said if count)
