"""What three queries make of systems that were measured over all queries.

Shape suffixes: Q queries, S systems, B draws, T queries of one draw.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.labels import LabelArrays, Level
from services.trainer.study import three_queries as three
from services.trainer.study.analysis_result import DrawnMeans, Misjudged, ThreeQueries
from services.trainer.study.answers import Queries


def by_three(
    of: str,
    values: Mapping[Level, Mapping[str, NDArray[np.float64]]],
    labels: LabelArrays,
    queries: Queries,
    *,
    num_draws: int,
    seed: int,
) -> ThreeQueries:
    """Draws of three queries over what every system scored, one of each supercategory, the same for all systems."""
    means: list[DrawnMeans] = []
    pairs: list[Misjudged] = []
    num_queries = 0
    for level, systems in values.items():
        if not systems:
            continue
        values_SQ = np.stack(list(systems.values()))
        scored_Q = np.isfinite(values_SQ).all(axis=0)
        if not scored_Q.any():
            continue
        values_SQ = values_SQ[:, scored_Q]
        groups_Q = labels.supercategory.codes_N[queries.rows_Q[scored_Q]].astype(np.int64)
        draws_BT = three.draw_queries(groups_Q, num_draws, seed)
        num_queries = max(num_queries, int(scored_Q.sum()))
        wins_S = three.win_shares(values_SQ, draws_BT)
        for name, values_Q, wins in zip(systems, values_SQ, wins_S, strict=True):
            found = three.spread(values_Q, groups_Q, draws_BT)
            means.append(
                DrawnMeans(
                    level=level.value,
                    system=name,
                    expected=found.expected,
                    deviation=found.deviation,
                    low=found.low,
                    high=found.high,
                    win_share=float(wins),
                )
            )
        pairs += _pairs(level, dict(zip(systems, values_SQ, strict=True)), groups_Q, draws_BT)
    return ThreeQueries(of=of, num_draws=num_draws, num_queries=num_queries, means=tuple(means), pairs=tuple(pairs))


def _pairs(
    level: Level,
    systems: Mapping[str, NDArray[np.float64]],
    groups_Q: NDArray[np.int64],
    draws_BT: NDArray[np.int64],
) -> Iterator[Misjudged]:
    for one, other in combinations(systems, 2):
        difference = three.expected_mean(systems[one] - systems[other], groups_Q)
        better, worse = (one, other) if difference >= 0 else (other, one)
        found = three.verdict(systems[better], systems[worse], draws_BT)
        yield Misjudged(
            level=level.value,
            better=better,
            worse=worse,
            difference=abs(difference),
            right=found.right,
            wrong=found.wrong,
            tied=found.tied,
            low=found.low,
            high=found.high,
        )
