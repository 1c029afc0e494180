"""The table of the study: a line for each model, backend, protocol and level, out of the evaluations.

The 2021 study's own figures stand beside ours where whoever runs this gives them; they are never made up.
"""

from collections.abc import Iterator, Mapping, Sequence

from lookalike.evaluation import policies, scoring
from lookalike.evaluation.bootstrap import Interval
from lookalike.evaluation.document import EvaluationDocument, Result
from lookalike.evaluation.relevance import Relevance
from lookalike.evaluation.table import number
from services.trainer.study.result import PublishedFigure, Row

NOT_GIVEN = "not given here"


def rows(
    documents: Sequence[EvaluationDocument], names: Mapping[str, str], published: Sequence[PublishedFigure] = ()
) -> tuple[Row, ...]:
    """The single-label lines of the evaluations, models by their name in the study (``names``, by reference).

    A published figure belongs to the lines of protocol ``paper``: the study measured by no other. Raises ValueError
    where two are given for one line.
    """
    given: dict[tuple[str, str, str], PublishedFigure] = {}
    for figure in published:
        if given.setdefault((figure.model, figure.backend, figure.level), figure) is not figure:
            raise ValueError(f"two published figures of {figure.model}, {figure.backend}, {figure.level}")
    return tuple(_rows(documents, names, given))


def _rows(
    documents: Sequence[EvaluationDocument],
    names: Mapping[str, str],
    given: Mapping[tuple[str, str, str], PublishedFigure],
) -> Iterator[Row]:
    for document in documents:
        paper = document.protocol == policies.PAPER
        for result in document.results:
            if result.relevance != Relevance.SINGLE_LABEL.value:
                continue
            name = names[result.model]
            theirs = given.get((name, result.backend, result.level)) if paper else None
            yield Row(
                model=name,
                backend=result.backend,
                protocol=document.protocol,
                level=result.level,
                precision=_metric(result, "precision", document),
                recall=_metric(result, "recall", document),
                knn_recall=result.knn_recall,
                num_scored=result.num_scored,
                study_precision=None if theirs is None else theirs.precision,
                study_recall=None if theirs is None else theirs.recall,
                study_source=None if theirs is None else theirs.source,
            )


def _metric(result: Result, what: str, document: EvaluationDocument) -> Interval:
    name = f"paper {what}@{scoring.PAPER_K}" if document.protocol == policies.PAPER else f"{what}@{document.k}"
    return result.metrics[name]


def with_interval(value: Interval, *, signed: bool = False) -> str:
    """``0.412 (0.390 to 0.433)``, or a dash where nothing was scored; ``signed`` for differences."""
    if value.mean is None or value.low is None or value.high is None:
        return number(None)
    if signed:
        return f"{signed_number(value.mean)} ({signed_number(value.low)} to {signed_number(value.high)})"
    return f"{value.mean:.3f} ({value.low:.3f} to {value.high:.3f})"


def signed_number(value: float) -> str:
    """Three digits with a sign; what rounds to nothing is +0.000."""
    return f"{round(value, 3) + 0.0:+.3f}"  # -0.0 + 0.0 is 0.0


def published_cell(value: float | None) -> str:
    """A figure of the 2021 study, or that it is not given."""
    return NOT_GIVEN if value is None else number(value)
