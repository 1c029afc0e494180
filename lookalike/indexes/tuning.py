"""The search parameters that reach a wanted knn recall@k at the lowest latency, found by measuring.

Searched are the integer parameters that the index takes: each is an effort (``ef_search``, ``nprobe``,
``search_k``), so recall rises with it and the least value that suffices is the fastest. Others keep their
defaults. Everything is measured as callers search, through a living index, one query at a time for latency.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.exact_scan import ExactNeighbours, exact_neighbours
from lookalike.indexes.living import LivingIndex
from lookalike.indexes.parameter_search import Trial, find_least
from lookalike.indexes.params import complete
from lookalike.indexes.parity import knn_recall, sample_queries
from lookalike.indexes.port import NO_PARAMS, Backend, BuildInput, Index, Params
from lookalike.indexes.rows import Embeddings

_TIMED_QUERIES = 50
_FOR_DEFAULTS = 0.95


@dataclass(frozen=True)
class TuneReport:
    """The best parameters, and how they were found.

    ``knn_recall`` is measured with other queries than those that chose ``params``; ``reached`` says whether it
    is at least ``target_knn_recall``. Otherwise these are the parameters of the highest recall. ``trials`` are
    all measurements, in order, with the queries that chose.
    """

    params: Params
    build_params: Params
    knn_recall: float
    latency_p50_ms: float
    reached: bool
    target_knn_recall: float
    k: int
    num_queries: int
    trials: tuple[Trial, ...]

    @property
    def summary(self) -> str:
        """One sentence for people."""
        values = ", ".join(f"{name}={value}" for name, value in sorted(self.params.items())) or "no parameters"
        figures = f"knn recall@{self.k} {self.knn_recall:.4f} at {self.latency_p50_ms:.3f} ms with {values}"
        if self.reached:
            return f"{figures} (wanted: {self.target_knn_recall:.4f})"
        return f"{self.target_knn_recall:.4f} cannot be reached with this index; the best is {figures}"


@dataclass(frozen=True)
class _Sample:
    queries_QD: NDArray[np.float32]
    exact: ExactNeighbours

    @classmethod
    def draw(cls, embeddings_ND: NDArray[np.float32], k: int, num_queries: int, seed: int) -> "_Sample":
        queries_QD = sample_queries(embeddings_ND, num_queries, seed)
        return cls(queries_QD, exact_neighbours(queries_QD, embeddings_ND, k))

    def recall(self, living: LivingIndex, embeddings_ND: NDArray[np.float32], k: int, params: Params) -> float:
        rows_QK = living.search(self.queries_QD, k, params=params).rows_QK
        return float(knn_recall(rows_QK, self.queries_QD, embeddings_ND, self.exact).mean())


def tune(
    index: Index,
    base: Embeddings,
    *,
    target_knn_recall: float,
    k: int = 10,
    num_queries: int = 200,
    seed: int = 0,
    build_params: Params = NO_PARAMS,
    clock_s: Callable[[], float] = time.perf_counter,
) -> TuneReport:
    """Tunes the search parameters of an opened index on its own gallery.

    Args:
        index: opened over ``base``, which holds at least one row.
        base: the embedding set.
        target_knn_recall: in (0, 1], of ``k`` neighbours.
        k: neighbours of each query.
        num_queries: drawn from the gallery with ``seed`` to choose, and as many with another seed to confirm.
        seed: of the queries.
        build_params: of the index, for the report.
        clock_s: a monotonic clock in seconds.
    """
    embeddings_ND = np.asarray(base.embeddings_ND)
    living = LivingIndex(index, base, Embeddings.none(index.dimension))
    sample = _Sample.draw(embeddings_ND, k, num_queries, seed)
    specs = index.search_params

    def measure(given: Params) -> Trial:
        params = complete(specs, given)
        recall = sample.recall(living, embeddings_ND, k, params)
        return Trial(params, recall, _latency_p50_ms(living, sample.queries_QD, k, params, clock_s))

    trials = find_least(specs, measure, target_knn_recall, len(embeddings_ND))
    confirming = _Sample.draw(embeddings_ND, k, num_queries, seed + 1)
    # The defaults come first unless they are clearly slower: many kinds of index ignore some parameters.
    sufficient = sorted(
        (trial for trial in trials if trial.knn_recall >= target_knn_recall),
        key=lambda trial: trial.latency_p50_ms * (_FOR_DEFAULTS if trial is trials[0] else 1),
    )
    # The least value that suffices for one sample just fails every other one: then the next is taken.
    best = max(trials, key=lambda trial: (trial.knn_recall, -trial.latency_p50_ms))
    for trial in [*sufficient, best]:
        confirmed = confirming.recall(living, embeddings_ND, k, trial.params)
        if confirmed >= target_knn_recall or trial is best:
            break
    return TuneReport(
        params=trial.params,
        build_params=build_params,
        knn_recall=confirmed,
        latency_p50_ms=trial.latency_p50_ms,
        reached=confirmed >= target_knn_recall,
        target_knn_recall=target_knn_recall,
        k=k,
        num_queries=len(sample.queries_QD),
        trials=tuple(trials),
    )


def tune_builds(
    backend: Backend,
    source: BuildInput,
    directory: Path,
    candidates: Sequence[Mapping[str, object]],
    *,
    target_knn_recall: float,
    k: int = 10,
    num_queries: int = 200,
    seed: int = 0,
) -> list[TuneReport]:
    """Builds and tunes an index for each of ``candidates`` (build parameters); the best report first.

    Best is the lowest latency among those that reach the target, or else the highest recall. The indexes stay
    in ``directory`` (empty before) under ``0``, ``1`` and so on, in the order of ``candidates``. Raises what
    :func:`~lookalike.indexes.params.complete` and the backend raise.
    """
    base = Embeddings(source.embeddings_ND, source.ids_N16)
    reports = []
    for number, candidate in enumerate(candidates):
        build_params = complete(backend.capabilities.build_params, candidate)
        folder = directory / str(number)
        folder.mkdir(parents=True)
        backend.build(source, folder, build_params)
        index = backend.open(folder, source.embeddings_ND, source.ids_N16)
        try:
            reports.append(
                tune(
                    index,
                    base,
                    target_knn_recall=target_knn_recall,
                    k=k,
                    num_queries=num_queries,
                    seed=seed,
                    build_params=build_params,
                )
            )
        finally:
            index.close()
    return sorted(reports, key=lambda report: (0, report.latency_p50_ms) if report.reached else (1, -report.knn_recall))


def _latency_p50_ms(
    living: LivingIndex,
    queries_QD: NDArray[np.float32],
    k: int,
    params: Params,
    clock_s: Callable[[], float],
) -> float:
    latencies = []
    for number in range(min(_TIMED_QUERIES, len(queries_QD))):
        started = clock_s()
        living.search(queries_QD[number : number + 1], k, params=params)
        latencies.append((clock_s() - started) * 1000)
    return float(np.median(latencies)) if latencies else math.nan
