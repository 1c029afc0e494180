"""Which values of a backend's effort parameters are worth measuring."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lookalike.indexes.port import Params, ParamSpec, ParamValue

_STEP = 4  # between values of the first, coarse grid
_RESOLUTION = 1.1  # ratio between a value that suffices and one that does not at which the search ends
_PLATEAU = 0.002  # recall so near the highest counts as it
_VALUES_PER_ROW = 64  # an effort beyond this many times the number of embeddings can find no more (Annoy's trees)


@dataclass(frozen=True)
class Trial:
    """One measurement of a set of parameters."""

    params: Params
    knn_recall: float
    latency_p50_ms: float


def find_least(
    specs: Mapping[str, ParamSpec], measure: Callable[[Params], Trial], target: float, num_embeddings: int
) -> list[Trial]:
    """Measures the defaults, and then each integer parameter in growing steps until ``target`` recall is reached.

    Between the last value that does not suffice and the first that does, bisection finds the least. When no
    parameter alone suffices, the one that raises recall most stays where it stops rising, and the others are
    searched again on top of it. Recall must not fall as a parameter grows. Returns all trials in order.
    """
    trials: dict[tuple[tuple[str, ParamValue], ...], Trial] = {}

    def recall_of(given: Params) -> float:
        key = tuple(sorted(given.items()))
        if key not in trials:
            trials[key] = measure(given)
        return trials[key].knn_recall

    fixed: dict[str, ParamValue] = {}
    recall_of(fixed)
    open_names = [name for name, spec in specs.items() if spec.type is int]
    while open_names:
        plateaus: dict[str, tuple[float, int]] = {}
        for name in open_names:
            low, high = _range(specs[name], num_embeddings)
            measured = _grow(recall_of, fixed, name, (low, high), target)
            highest = max(measured.values())
            if highest == min(measured.values()) and highest < target:
                continue  # this index does not look at it
            plateaus[name] = (highest, min(v for v, recall in measured.items() if recall >= highest - _PLATEAU))
        if not plateaus or max(recall for recall, _ in plateaus.values()) >= target:
            break
        chosen = max(plateaus, key=lambda name: plateaus[name][0])
        fixed[chosen] = plateaus[chosen][1]
        open_names = [name for name in plateaus if name != chosen]
    return list(trials.values())


def _range(spec: ParamSpec, num_embeddings: int) -> tuple[int, int]:
    low = 1 if spec.minimum is None else int(spec.minimum)
    most = _VALUES_PER_ROW * max(1, num_embeddings)
    high = most if spec.maximum is None else min(most, int(spec.maximum))
    return low, max(low, high)


def _grow(
    recall_of: Callable[[Params], float], fixed: Params, name: str, limits: tuple[int, int], target: float
) -> dict[int, float]:
    """Recall at the values of one parameter that were measured, beside the ``fixed`` others."""
    low, high = limits
    measured: dict[int, float] = {}
    below, value = low, low
    while True:
        measured[value] = recall_of({**fixed, name: value})
        if measured[value] >= target or value == high:
            break
        below, value = value, min(high, max(value + 1, value * _STEP))
    if measured[value] < target:
        return measured
    above = value
    while above - below > 1 and above > below * _RESOLUTION:
        middle = min(above - 1, max(below + 1, math.isqrt(max(1, below) * above)))
        measured[middle] = recall_of({**fixed, name: middle})
        if measured[middle] >= target:
            above = middle
        else:
            below = middle
    return measured
