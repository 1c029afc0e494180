"""One (model, backend) pair measured through the function that answers searches.

Shape suffixes: Q queries, K hits, D dimension.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation import metrics, policies, scoring
from lookalike.evaluation.bootstrap import intervals
from lookalike.evaluation.document import Result
from lookalike.evaluation.labels import Level
from lookalike.evaluation.relevance import Relevance, count_relevant, relevant_hits
from lookalike.indexes.exact_scan import ExactNeighbours
from lookalike.indexes.ranking import Ranked
from lookalike.pipeline.deep_ranking import Kind, r_precision_exactly
from lookalike.pipeline.ground import Ground
from lookalike.pipeline.search import nearest
from lookalike.pipeline.served_gallery import ServedGallery, ServedIndex
from lookalike.types.search import MAX_K

KINDS: tuple[Kind, ...] = tuple((level, relevance) for level in Level for relevance in Relevance)
WARM_UP = 5
MAX_TIMED = 200
MAX_TIMED_S = 10.0
_BATCH_QUERIES = 256
_BATCH_HITS = 2**20
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True)
class Plan:
    """What is measured. R-precision goes through the backend where R is at most ``search_depth``."""

    protocol: str = policies.STANDARD
    k: int = 10
    seed: int = 0
    self_counts: bool = False
    search_depth: int = MAX_K

    @property
    def num_hits(self) -> int:
        """How many hits are asked for."""
        return scoring.PAPER_RETRIEVED if self.protocol == policies.PAPER else self.k

    @property
    def scored_k(self) -> int:
        """How many of them precision looks at."""
        return scoring.PAPER_K if self.protocol == policies.PAPER else self.k


@dataclass(frozen=True)
class Reference:
    """What is the same for every backend of a model: the exact answers, and R-precision beyond the search depth."""

    ground: Ground
    exact: ExactNeighbours
    num_relevant: Mapping[Kind, NDArray[np.int64]]  # [Q]
    deep_r_precision: Mapping[Kind, NDArray[np.float64]]  # [Q], 0 where a search goes deep enough

    @classmethod
    def of(cls, ground: Ground, plan: Plan) -> "Reference":
        """Computes them for all queries of the ground."""
        exact = ground.exact(plan.num_hits, exclude_self=not plan.self_counts)
        if plan.protocol == policies.PAPER:
            return cls(ground, exact, {}, {})
        counts = {
            (level, relevance): count_relevant(ground.labels.at(level), relevance, ground.rows_Q, self_counts=False)
            for level, relevance in KINDS
        }
        beyond = {kind: np.where(count > plan.search_depth, count, 0) for kind, count in counts.items()}
        return cls(ground, exact, counts, r_precision_exactly(ground, beyond))


def measure(
    served: ServedGallery, index: ServedIndex, reference: Reference, plan: Plan, *, num_asked: int
) -> list[Result]:
    """The results of one pair, by level and relevance; ``num_asked`` counts queries without an embedding too."""
    ground = reference.ground
    if not ground.num_queries:
        return []
    found = hits(served, index, ground, plan.num_hits, exclude_self=not plan.self_counts)
    latency_ms, num_timed = latency(served, index, ground, plan)
    recall = knn_recall(found, reference.exact)
    results = []
    for level, relevance, scores, num_deep in _scores(served, index, reference, plan, found.rows_QK):
        results.append(
            Result(
                model=index.manifest.model,
                backend=index.manifest.backend,
                index=index.manifest.index_id,
                level=level.value,
                relevance=relevance.value,
                metrics=dict(zip(scores.names, intervals(scores.values_QM, seed=plan.seed), strict=True)),
                num_scored=len(scores.values_QM),
                num_unlabelled=scores.num_unlabelled,
                num_without_relevant=scores.num_without_relevant,
                num_not_embedded=num_asked - ground.num_queries,
                num_ranked_exactly=num_deep,
                knn_recall=round(recall, 6),
                latency_ms=latency_ms,
                num_timed=num_timed,
                build_s=index.manifest.build_s,
                index_bytes=index.manifest.size_bytes,
            )
        )
    return results


def hits(served: ServedGallery, index: ServedIndex, ground: Ground, k: int, *, exclude_self: bool) -> Ranked:
    """The first ``k`` hits of every query, through the one search function, some queries at a time."""
    everything = np.arange(ground.num_queries)
    blocks = [_ask(served, index, ground, some, k, exclude_self) for some in _batches(everything, k)]
    return Ranked(
        np.concatenate([block.rows_QK for block in blocks]),
        np.concatenate([block.similarities_QK for block in blocks]),
        np.concatenate([block.distances_QK for block in blocks]),
    )


def knn_recall(found: Ranked, exact: ExactNeighbours) -> float:
    """The mean share of its exact neighbours that each query was given; ties with the last of them count.

    The same figure as :func:`lookalike.indexes.parity.knn_recall`, from the similarities that hits carry anyway.
    """
    there_QK = exact.rows_QK >= 0
    num_exact_Q = np.count_nonzero(there_QK, axis=1)
    kth_Q = np.min(exact.similarities_QK, axis=1, initial=np.inf, where=there_QK)
    found_QK = (found.rows_QK >= 0) & (found.similarities_QK >= kth_Q[:, None])
    num_found_Q = np.minimum(np.count_nonzero(found_QK, axis=1), num_exact_Q)
    return float(np.where(num_exact_Q > 0, num_found_Q / np.maximum(num_exact_Q, 1), 1.0).mean())


def latency(
    served: ServedGallery,
    index: ServedIndex,
    ground: Ground,
    plan: Plan,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[str, float], int]:
    """Quantiles in ms of single searches, and of how many: at most 200, fewer where they take over 10 s in all.

    The first few searches only warm up and are not among them.
    """
    took_s: list[float] = []
    everything = np.arange(ground.num_queries)
    for some in everything[:WARM_UP, None]:
        _ask(served, index, ground, some, plan.num_hits, not plan.self_counts)
    for some in everything[:MAX_TIMED, None]:
        started = clock()
        _ask(served, index, ground, some, plan.num_hits, not plan.self_counts)
        took_s.append(clock() - started)
        if sum(took_s) > MAX_TIMED_S:
            break
    return {name: round(float(np.quantile(took_s, q)) * 1000, 4) for name, q in _QUANTILES}, len(took_s)


def _scores(
    served: ServedGallery, index: ServedIndex, reference: Reference, plan: Plan, hits_QK: NDArray[np.int64]
) -> Iterator[tuple[Level, Relevance, scoring.Scores, int]]:
    ground = reference.ground
    if plan.protocol == policies.PAPER:
        for level in Level:
            yield level, Relevance.SINGLE_LABEL, scoring.paper(ground.labels.at(level), ground.rows_Q, hits_QK), 0
        return
    shallow = _r_precision_by_search(served, index, reference, plan.search_depth)
    for kind in KINDS:
        level, relevance = kind
        r_precision_Q = shallow[kind] + reference.deep_r_precision[kind]  # one of them is 0
        scores = scoring.standard(ground.labels.at(level), relevance, ground.rows_Q, hits_QK, r_precision_Q, plan.k)
        yield level, relevance, scores, int(np.count_nonzero(reference.num_relevant[kind] > plan.search_depth))


def _r_precision_by_search(
    served: ServedGallery, index: ServedIndex, reference: Reference, search_depth: int
) -> dict[Kind, NDArray[np.float64]]:
    """R-precision of the queries with R up to ``search_depth``, float64 ``[Q]``, 0 for the others.

    Each query is searched once, as deep as the largest R it has; in order of depth, so that none goes much deeper.
    """
    ground = reference.ground
    values = {kind: np.zeros(ground.num_queries) for kind in KINDS}
    wanted = {kind: np.where(count > search_depth, 0, count) for kind, count in reference.num_relevant.items()}
    depth_Q = np.max(list(wanted.values()), axis=0)
    by_depth = np.argsort(depth_Q, kind="stable")
    by_depth = by_depth[depth_Q[by_depth] > 0]
    for some in _batches(by_depth, int(depth_Q.max(initial=1))):
        rows_QK = _ask(served, index, ground, some, int(depth_Q[some[-1]]), exclude_self=True).rows_QK
        for (level, relevance), wanted_Q in wanted.items():
            relevant = relevant_hits(ground.labels.at(level), relevance, ground.rows_Q[some], rows_QK)
            values[level, relevance][some] = metrics.r_precision(relevant, wanted_Q[some])
    return values


def _ask(
    served: ServedGallery, index: ServedIndex, ground: Ground, some: NDArray[np.int64], k: int, exclude_self: bool
) -> Ranked:
    return nearest(
        served, index, ground.queries_QD[some], k, exclude_ids_Q16=ground.ids_Q16[some] if exclude_self else None
    )


def _batches(queries: NDArray[np.int64], k: int) -> Iterator[NDArray[np.int64]]:
    step = max(1, min(_BATCH_QUERIES, _BATCH_HITS // k))
    for start in range(0, queries.size, step):
        yield queries[start : start + step]
