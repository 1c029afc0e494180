"""The way from one of the study's backends to another, in steps: metric, normalisation, archive, approximation."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.bootstrap import intervals
from lookalike.evaluation.labels import LabelArrays, Level
from services.trainer.study.analysis_result import Ladder, Step
from services.trainer.study.answers import Queries
from services.trainer.study.decomposition import Metric, telescoped
from services.trainer.study.names import EXACT, by, library, served
from services.trainer.study.three_queries import draw_queries

METRIC_FIRST, NORMALISATION_FIRST = "metric first", "normalisation first"


def ladders(
    values: Mapping[Level, Mapping[str, NDArray[np.float64]]],
    approximate: str | None,
    labels: LabelArrays,
    queries: Queries,
    *,
    num_draws: int,
    seed: int,
) -> Iterator[Ladder]:
    """The ladders at both levels, in both orders where raw embeddings are among the systems.

    ``values`` are precision@4 of every system, float64 ``[Q]`` with NaN for what is not scored; ``approximate`` names
    the library at the end. Without it, or without the exact backend, the way ends where it can.
    """
    for level, systems in values.items():
        for order, way in _ways(approximate):
            there = [(step, name) for step, name in way if name in systems]
            start = there[0][1]
            if order == METRIC_FIRST and start != by(Metric.EUCLIDEAN, False):
                continue  # without raw embeddings both orders are the same
            values_SQ = np.stack([systems[name] for _, name in there])
            differences_SQ = telescoped(values_SQ)
            if not differences_SQ.size:
                continue
            *steps, total = intervals(differences_SQ.T, seed=seed)
            scored_Q = np.isfinite(values_SQ).all(axis=0)
            groups_Q = labels.supercategory.codes_N[queries.rows_Q[scored_Q]].astype(np.int64)
            drawn_B = differences_SQ[-1][draw_queries(groups_Q, num_draws, seed)].mean(axis=1)
            low, high = np.quantile(drawn_B, [0.025, 0.975])
            yield Ladder(
                level=level.value,
                order=order,
                start=start,
                steps=tuple(
                    Step(name=step, to=name, difference=difference)
                    for (step, name), difference in zip(there[1:], steps, strict=True)
                ),
                total=total,
                three_low=float(low),
                three_high=float(high),
            )


def _ways(approximate: str | None) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    middle = {
        METRIC_FIRST: [("metric", by(Metric.COSINE, False)), ("normalisation", by(Metric.COSINE, True))],
        NORMALISATION_FIRST: [("normalisation", by(Metric.EUCLIDEAN, True)), ("metric", by(Metric.COSINE, True))],
    }
    for order, steps in middle.items():
        way = [("", by(Metric.EUCLIDEAN, False)), *steps, ("archive", served(EXACT))]
        yield order, [*way, ("approximation", library(approximate))] if approximate else way
