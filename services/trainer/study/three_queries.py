"""What can be concluded from three query images, one of each supercategory, as the study did.

The mean of three queries is drawn again and again, from all queries whose values are known: how far do such means
scatter, and how often does the worse of two systems come out ahead?

Shape suffixes: Q queries, S systems, G groups, B draws, T queries of one draw.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_DRAWS = 10_000
NUM_QUERIES = 3
_EQUAL = 1e-9  # means that differ by less are the same sum in another order


@dataclass(frozen=True)
class Spread:
    """Of the means of a system: what they estimate, their standard deviation, and where 95 % of them are."""

    expected: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """Shares of draws in which, of two systems, the one that is better over all queries won, lost, and tied.

    95 % of the differences that three queries show, better minus worse, lie between ``low`` and ``high``.
    """

    right: float
    wrong: float
    tied: float
    low: float
    high: float


def draw_queries(groups_Q: NDArray[np.int64], num_draws: int, seed: int) -> NDArray[np.int64]:
    """``num_draws`` times three queries: int64 ``[B, T]`` positions in 0 … Q-1; the same seed gives the same.

    With three groups (codes in ``groups_Q``), one query of each, each query of a group being as likely. With another
    number of groups, or where T = min(3, Q) is less, T different queries of all, each set being as likely.
    """
    rng = np.random.default_rng(seed)
    groups = np.unique(groups_Q)
    if len(groups) == NUM_QUERIES:
        members = [np.flatnonzero(groups_Q == group) for group in groups]
        return np.stack([rows[rng.integers(len(rows), size=num_draws)] for rows in members], axis=1)
    num_queries = len(groups_Q)
    size = min(NUM_QUERIES, num_queries)
    drawn_BT = rng.integers(num_queries, size=(num_draws, size)) if size else np.zeros((num_draws, 0), np.int64)
    while len(repeated := np.flatnonzero(_has_repeats(drawn_BT))):
        drawn_BT[repeated] = rng.integers(num_queries, size=(len(repeated), size))
    return drawn_BT


def expected_mean(values_Q: NDArray[np.float64], groups_Q: NDArray[np.int64]) -> float:
    """What the mean of such a draw estimates: with three groups the mean of the groups' means, else the mean.

    E[(v_1 + v_2 + v_3) / 3] with v_g drawn from group g is ``(mean_1 + mean_2 + mean_3) / 3``, which is not the mean
    over all queries where groups differ in size.
    """
    groups = np.unique(groups_Q)
    if len(groups) == NUM_QUERIES:
        return float(np.mean([values_Q[groups_Q == group].mean() for group in groups]))
    return float(values_Q.mean())


def spread(values_Q: NDArray[np.float64], groups_Q: NDArray[np.int64], draws_BT: NDArray[np.int64]) -> Spread:
    """How the means of the draws scatter: standard deviation, 2.5 % and 97.5 % quantiles."""
    means_B = values_Q[draws_BT].mean(axis=1)
    low, high = np.quantile(means_B, [0.025, 0.975])
    return Spread(expected_mean(values_Q, groups_Q), float(means_B.std()), float(low), float(high))


def verdict(better_Q: NDArray[np.float64], worse_Q: NDArray[np.float64], draws_BT: NDArray[np.int64]) -> Verdict:
    """How often three queries find the better of two systems, both asked the same three.

    right = share of draws with mean(better) > mean(worse), wrong = with <, tied = with equal means.
    """
    differences_B = (better_Q - worse_Q)[draws_BT].mean(axis=1)
    right, wrong = float(np.mean(differences_B > _EQUAL)), float(np.mean(differences_B < -_EQUAL))
    low, high = np.quantile(differences_B, [0.025, 0.975])
    return Verdict(right, wrong, float(np.mean(np.abs(differences_B) <= _EQUAL)), float(low), float(high))


def win_shares(values_SQ: NDArray[np.float64], draws_BT: NDArray[np.int64]) -> NDArray[np.float64]:
    """float64 ``[S]``: how often each system has the highest mean of three; w systems that tie have 1/w of a win."""
    means_SB = values_SQ[:, draws_BT].mean(axis=2)
    first_SB = means_SB >= means_SB.max(axis=0) - _EQUAL
    return np.asarray((first_SB / first_SB.sum(axis=0)).mean(axis=1))


def _has_repeats(drawn_BT: NDArray[np.int64]) -> NDArray[np.bool_]:
    ordered_BT = np.sort(drawn_BT, axis=1)
    return np.asarray((ordered_BT[:, 1:] == ordered_BT[:, :-1]).any(axis=1))
