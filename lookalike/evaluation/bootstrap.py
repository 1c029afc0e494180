"""Confidence intervals of means over queries, by the bootstrap percentile method (Efron, 1979).

Shape suffixes: Q queries, M metrics, B resamples.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95
_BLOCK = 4_000_000  # weights held at a time


class Interval(BaseModel):
    """A mean over queries and its 95 % interval; None of them where no query was scored."""

    model_config = ConfigDict(frozen=True)

    mean: float | None
    low: float | None
    high: float | None


def intervals(values_QM: NDArray[np.float64], *, seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> list[Interval]:
    """One interval for each of M metrics; the queries are resampled together for all of them.

    Values are finite. Without queries there is nothing to say: None. The same seed gives the same intervals.
    """
    num_queries, num_metrics = values_QM.shape
    if num_queries == 0:
        return [Interval(mean=None, low=None, high=None)] * num_metrics
    if not np.isfinite(values_QM).all():
        raise ValueError("values must be finite")
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // num_queries)
    means = []
    for start in range(0, num_resamples, block):
        size = min(block, num_resamples - start)
        # How often each query is drawn: the same as drawing Q queries with replacement.
        weights_BQ = rng.multinomial(num_queries, np.full(num_queries, 1 / num_queries), size=size)
        means.append(weights_BQ.astype(np.float64) @ values_QM / num_queries)
    tail = (1 - CONFIDENCE) / 2
    mean_M = values_QM.mean(axis=0)
    low_M, high_M = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    # Rounding may put a mean of equal values beside itself.
    low_M, high_M = np.minimum(low_M, mean_M), np.maximum(high_M, mean_M)
    return [Interval(mean=float(m), low=float(a), high=float(b)) for m, a, b in zip(mean_M, low_M, high_M, strict=True)]
