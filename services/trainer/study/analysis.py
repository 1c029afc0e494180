"""The differences between backends under one model, taken apart.

Shape suffixes: N images, Q queries, K hits, D dimension.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.bootstrap import intervals
from lookalike.evaluation.labels import LabelArrays, Level
from services.trainer.study.analysis_result import Effect, GridCell, ModelAnalysis
from services.trainer.study.answers import RETRIEVED, K, Queries, precisions
from services.trainer.study.decomposition import Metric, neighbours, overlap, paired_differences, unit
from services.trainer.study.drawn import by_three
from services.trainer.study.ladder import ladders
from services.trainer.study.names import EXACT, by, library, served

_METRICS = tuple(Metric)


@dataclass(frozen=True)
class Evidence:
    """What was found under one model. ``served`` and ``libraries`` map backends to hits int64 ``[Q, K]``.

    ``embeddings_ND`` are the archive's, ``raw_ND`` those before normalisation, where given; rows without an embedding
    are false in ``embedded_N``.
    """

    model: str
    labels: LabelArrays
    queries: Queries
    embedded_N: NDArray[np.bool_]
    embeddings_ND: NDArray[np.float32]
    raw_ND: NDArray[np.float32] | None
    raw_agreement: float | None
    served: Mapping[str, NDArray[np.int64]]
    libraries: Mapping[str, NDArray[np.int64]]


def analyse(evidence: Evidence, *, num_draws: int, seed: int) -> ModelAnalysis:
    """The grid of metrics, the effects of metric, normalisation and approximation, and three-query draws."""
    systems = {
        **_by_metric(evidence),
        **{served(name): hits for name, hits in evidence.served.items()},
        **{library(name): hits for name, hits in evidence.libraries.items()},
    }
    values = {
        level: {name: precisions(evidence.labels, level, evidence.queries, hits) for name, hits in systems.items()}
        for level in Level
    }
    drawn = [name for name in systems if name.endswith((", served", ", raw")) and name != by(Metric.COSINE, False)]
    return ModelAnalysis(
        model=evidence.model,
        raw=evidence.raw_ND is not None,
        raw_agreement=evidence.raw_agreement,
        grid=tuple(_grid(systems, values, seed)),
        effects=tuple(_effects(systems, values, seed)),
        ladders=tuple(
            ladders(
                values,
                next((name for name in evidence.libraries if name.startswith("annoy")), None),
                evidence.labels,
                evidence.queries,
                num_draws=num_draws,
                seed=seed,
            )
        ),
        three_queries=by_three(
            evidence.model,
            {level: {name: values[level][name] for name in drawn} for level in Level},
            evidence.labels,
            evidence.queries,
            num_draws=num_draws,
            seed=seed,
        ),
    )


def comparisons(systems: list[str]) -> Iterator[tuple[str, str, str]]:
    """Which systems are compared, as (kind, of, against), among those that there are.

    ``metric``: another one than cosine, on the same embeddings. ``normalisation``: normalised against raw, by the
    same metric. ``approximation``: a library alone against exact search. ``served``: a backend of ours against the
    exact one, and that against exact search in NumPy, which differ where an archive holds more than normalisation.
    """
    exact = served(EXACT)
    wanted = [
        *(
            ("metric", by(metric, normalised), by(Metric.COSINE, normalised))
            for normalised in (True, False)
            for metric in _METRICS[1:]
        ),
        *(("normalisation", by(metric, True), by(metric, False)) for metric in _METRICS),
        *(("approximation", name, exact) for name in systems if name.endswith(", alone")),
        *(("served", name, exact) for name in systems if name.endswith(", served") and name != exact),
        ("served", exact, by(Metric.COSINE, True)),
    ]
    return ((kind, of, against) for kind, of, against in wanted if of in systems and against in systems)


def _by_metric(evidence: Evidence) -> dict[str, NDArray[np.int64]]:
    """Exact search in NumPy by every metric. Where raw embeddings are given, the normalised are those, normalised."""
    found = {}
    raw_ND = evidence.raw_ND
    sides = [(True, evidence.embeddings_ND if raw_ND is None else unit(raw_ND))]
    if raw_ND is not None:
        sides.append((False, raw_ND))
    asked_Q = evidence.embedded_N[evidence.queries.rows_Q]
    for normalised, embeddings_ND in sides:
        for metric in _METRICS:
            hits_QK = np.full((len(asked_Q), RETRIEVED), -1, np.int64)
            hits_QK[asked_Q] = neighbours(
                embeddings_ND,
                evidence.queries.rows_Q[asked_Q],
                RETRIEVED,
                metric,
                allowed_N=evidence.embedded_N,
            )
            found[by(metric, normalised)] = hits_QK
    return found


def _effects(
    systems: Mapping[str, NDArray[np.int64]], values: Mapping[Level, Mapping[str, NDArray[np.float64]]], seed: int
) -> Iterator[Effect]:
    compared = list(comparisons(list(systems)))
    for level, scores in values.items():
        differences = paired_differences(
            [scores[of] for _, of, _ in compared], [scores[against] for _, _, against in compared], seed=seed
        )
        for (kind, of, against), difference in zip(compared, differences, strict=True):
            yield Effect(
                kind=kind,
                level=level.value,
                of=of,
                against=against,
                difference=difference,
                knn_recall=_share(systems[against], systems[of], RETRIEVED),
                same_hits=_share(systems[against], systems[of], K),
            )


def _grid(
    systems: Mapping[str, NDArray[np.int64]], values: Mapping[Level, Mapping[str, NDArray[np.float64]]], seed: int
) -> Iterator[GridCell]:
    cells = [(metric, normalised) for normalised in (True, False) for metric in _METRICS]
    cells = [cell for cell in cells if by(*cell) in systems]
    for level, scores in values.items():
        scores_QM = np.stack([scores[by(*cell)] for cell in cells], axis=1)
        means = intervals(scores_QM[np.isfinite(scores_QM).all(axis=1)], seed=seed)
        for (metric, normalised), mean in zip(cells, means, strict=True):
            yield GridCell(
                level=level.value,
                metric=metric.value,
                normalised=normalised,
                precision=mean,
                same_hits=_share(systems[by(Metric.COSINE, normalised)], systems[by(metric, normalised)], K),
            )


def _share(reference_QK: NDArray[np.int64], other_QK: NDArray[np.int64], k: int) -> float:
    shares_Q = overlap(reference_QK[:, :k], other_QK[:, :k])
    return float(shares_Q.mean()) if shares_Q.size else 1.0
