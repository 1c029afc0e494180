"""An evaluation as one HTML page that needs nothing else."""

from html import escape

from lookalike.evaluation.document import EvaluationDocument, Result

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{padding:.35rem .6rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child,th:nth-child(2),td:nth-child(2){text-align:left}small{color:#777}svg{vertical-align:middle}
"""
_BAR_PIXELS = 60


def evaluation_html(document: EvaluationDocument) -> str:
    """The whole report: a table for each level and relevance, then what was done."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in document.results:
        groups.setdefault((result.level, result.relevance), []).append(result)
    tables = "".join(
        f"<h2>{escape(level)}, {escape(relevance)} relevance</h2>{_table(results)}"
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
        f"{tables}<h2>How it was measured</h2><ul>{policies}</ul>"
        "<p>Means over queries with 95 % bootstrap intervals. Every search went through the function that "
        "answers searches over HTTP.</p></html>"
    )


def _table(results: list[Result]) -> str:
    names = list(results[0].metrics)
    head = "".join(
        f"<th>{escape(name)}</th>" for name in ("model", "backend", *names, "knn recall", "p50 ms", "p99 ms")
    )
    rows = []
    for result in results:
        cells = [f"<td>{escape(result.model)}</td><td>{escape(result.backend)}</td>"]
        for name in names:
            value = result.metrics[name]
            bar = (
                f'<svg width="{_BAR_PIXELS}" height="8"><rect width="{_BAR_PIXELS}" height="8" fill="#eee"/>'
                f'<rect width="{max(0.0, min(1.0, value.mean)) * _BAR_PIXELS:.1f}" height="8" fill="#47a"/></svg>'
            )
            cells.append(f"<td>{value.mean:.3f} {bar}<br><small>{value.low:.3f} to {value.high:.3f}</small></td>")
        recall = "" if result.knn_recall is None else f"{result.knn_recall:.4f}"
        latency = result.latency_ms
        cells.append(f"<td>{recall}</td><td>{latency['p50']:.2f}</td><td>{latency['p99']:.2f}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"
