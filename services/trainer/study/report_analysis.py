"""The analysis of a study as HTML tables."""

from collections.abc import Iterator

from services.trainer.study.analysis_result import ModelAnalysis, ThreeQueries
from services.trainer.study.page import paragraphs, table
from services.trainer.study.table import signed_number, with_interval

_KINDS = {
    "metric": "Metric: another one on the same embeddings",
    "normalisation": "Normalisation: normalised against raw embeddings, the same metric",
    "approximation": "Approximation: the library alone, asked for ten neighbours, against exact search",
    "served": "As served: everything that differs between backends of ours",
}


def analysis_section(analysis: ModelAnalysis) -> str:
    """Grid, effects and three-query draws of one model."""
    return "".join(
        [
            _raw(analysis),
            *_ladders(analysis),
            _grid(analysis),
            *_effects(analysis),
            between_section(analysis.three_queries),
        ]
    )


def between_section(drawn: ThreeQueries) -> str:
    """How means of three queries scatter, and how often the worse of two systems wins by them."""
    about = (
        f"{drawn.num_draws} draws of three queries out of {drawn.num_queries}, one of each supercategory where there "
        "are three, the same for every system. What they estimate is then the mean of the supercategories' means, not "
        "that of all queries."
    )
    means = (
        (
            one.level,
            one.system,
            f"{one.expected:.3f}",
            f"{one.deviation:.3f}",
            f"{one.low:.3f} to {one.high:.3f}",
            f"{one.win_share:.1%}",
        )
        for one in drawn.means
    )
    columns = ("level", "system", "estimated", "standard deviation", "95 % of draws", "highest mean")
    pairs = (
        (
            one.level,
            one.better,
            one.worse,
            f"{one.difference:.3f}",
            f"{one.right:.1%}",
            f"{one.wrong:.1%}",
            f"{one.tied:.1%}",
            f"{signed_number(one.low)} to {signed_number(one.high)}",
        )
        for one in drawn.pairs
        if one.tied < 1
    )
    judged = (
        "level",
        "better over all queries",
        "worse",
        "by",
        "better wins",
        "worse wins",
        "tie",
        "95 % of draws show",
    )
    return (
        paragraphs([about])
        + table("Means of three queries: precision@4, protocol standard", columns, means, num_text=2)
        + table("Judged by three queries (pairs that tie in every draw are left out)", judged, pairs, num_text=3)
    )


def _raw(analysis: ModelAnalysis) -> str:
    if not analysis.raw:
        return paragraphs(["Its embeddings before normalisation were not given: only the normalised side is shown."])
    if analysis.raw_agreement is None:
        return paragraphs(["Its raw embeddings have another dimension than the archive's: whitening or a projection."])
    return paragraphs(
        [f"Raw embeddings, normalised, have a cosine of at least {analysis.raw_agreement:.6f} with the archive's."]
    )


def _ladders(analysis: ModelAnalysis) -> Iterator[str]:
    for ladder in analysis.ladders:
        rows = [(f"{step.name}: to {step.to}", with_interval(step.difference, signed=True)) for step in ladder.steps]
        rows.append(("all steps together", with_interval(ladder.total, signed=True)))
        rows.append(
            (
                "what three queries show of it, 95 % of draws",
                f"{signed_number(ladder.three_low)} to {signed_number(ladder.three_high)}",
            )
        )
        yield table(f"From {ladder.start}, {ladder.order}: {ladder.level}", ("step", "precision@4"), rows)


def _grid(analysis: ModelAnalysis) -> str:
    rows = (
        (
            cell.level,
            "normalised" if cell.normalised else "raw",
            cell.metric,
            with_interval(cell.precision),
            f"{cell.same_hits:.2%}",
        )
        for cell in analysis.grid
    )
    columns = ("level", "embeddings", "metric", "precision@4", "of cosine's first four")
    return table("Exact search by metric", columns, rows, num_text=3)


def _effects(analysis: ModelAnalysis) -> Iterator[str]:
    columns = ("level", "of", "minus", "precision@4", "knn recall@10", "same first four")
    for kind, caption in _KINDS.items():
        rows = [
            (
                one.level,
                one.of,
                one.against,
                with_interval(one.difference, signed=True),
                f"{one.knn_recall:.2%}",
                f"{one.same_hits:.2%}",
            )
            for one in analysis.effects
            if one.kind == kind
        ]
        if rows:
            yield table(caption, columns, rows, num_text=3)
