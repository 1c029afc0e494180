"""Confidence intervals of means over queries, by the bootstrap percentile method (Efron, 1979)."""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
_BLOCK = 4_000_000  # weights held at a time


class Interval(BaseModel):
    """A mean over queries and its 95 % interval."""

    model_config = ConfigDict(frozen=True)

    mean: float
    low: float
    high: float


def intervals(values_QM: NDArray[np.float64], *, seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> list[Interval]:
    """One interval for each of M metrics; the queries are resampled together for all of them.

    NaN for no queries. The same seed gives the same intervals.
    """
    num_queries, num_metrics = values_QM.shape
    if num_queries == 0:
        return [Interval(mean=float("nan"), low=float("nan"), high=float("nan"))] * num_metrics
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // num_queries)
    means = []
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        weights = rng.multinomial(num_queries, np.full(num_queries, 1 / num_queries), size=size)
        means.append(weights @ values_QM / num_queries)
    tail = (1 - CONFIDENCE) / 2
    low_M, high_M = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    mean_M = values_QM.mean(axis=0)
    return [Interval(mean=float(m), low=float(a), high=float(b)) for m, a, b in zip(mean_M, low_M, high_M, strict=True)]
