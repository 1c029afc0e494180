"""Protocols: what is retrieved for a query, how it is scored and which queries count.

``standard`` is how retrieval is measured today; ``paper`` is the study's own measure, kept to compare with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol as Interface
from typing import TypeAlias

from lookalike.errors import InvalidRequest
from lookalike.evaluation import metrics
from lookalike.evaluation.metrics import BoolArray, FloatArray, IntArray
from lookalike.evaluation.relevance import Relevance

Scores: TypeAlias = Mapping[str, FloatArray]  # one value per query under each metric's name

_UNLABELLED = (
    "A query without a label has nothing to be compared with: it is left out of every mean and counted under "
    "'without a label'. Images without a label stay in the gallery and are relevant to nothing."
)


class ProtocolName(StrEnum):
    STANDARD = "standard"
    PAPER = "paper"


class Protocol(Interface):
    """What both protocols offer."""

    @property
    def name(self) -> ProtocolName: ...

    @property
    def k(self) -> int:
        """The cut-off of the metrics."""
        ...

    @property
    def num_retrieved(self) -> int:
        """The k that the search is asked for."""
        ...

    @property
    def self_counts(self) -> bool:
        """Whether the query's own image is among the hits and counts as relevant."""
        ...

    @property
    def relevances(self) -> tuple[Relevance, ...]:
        """The kinds of relevance it is defined for."""
        ...

    @property
    def needs_relevant(self) -> bool:
        """Whether queries with no relevant image in the gallery are left out."""
        ...

    @property
    def needs_all_relevant_ranks(self) -> bool:
        """Whether a second search, as deep as there are relevant images, adds R-precision."""
        ...

    @property
    def precision_name(self) -> str:
        """The metric by which classes are compared."""
        ...

    @property
    def definitions(self) -> Mapping[str, str]:
        """Each metric's formula in words."""
        ...

    @property
    def policies(self) -> tuple[str, ...]:
        """What is done with the query itself, and with queries that cannot be scored, for the report."""
        ...

    def score(self, relevant_QK: BoolArray, num_relevant_Q: IntArray) -> Scores:
        """Scores hits of ``num_retrieved`` ranks (see :mod:`lookalike.evaluation.metrics`)."""
        ...


@dataclass(frozen=True)
class StandardProtocol:
    """Precision, recall, mAP, nDCG, hit rate and reciprocal rank at k, and R-precision; the query excluded."""

    k: int = 10

    name = ProtocolName.STANDARD
    self_counts = False
    relevances = (Relevance.SINGLE_LABEL, Relevance.MULTI_LABEL)
    needs_relevant = True
    needs_all_relevant_ranks = True

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InvalidRequest(f"k must be at least 1, not {self.k}", k=self.k)

    @property
    def num_retrieved(self) -> int:
        return self.k

    @property
    def precision_name(self) -> str:
        return f"precision@{self.k}"

    @property
    def definitions(self) -> Mapping[str, str]:
        k = self.k
        return {
            f"precision@{k}": f"relevant hits in the first {k} / {k}",
            f"recall@{k}": f"relevant hits in the first {k} / R, all relevant images of the gallery",
            f"mAP@{k}": f"mean over queries of (sum of precision@i over the ranks i <= {k} of relevant hits) / R",
            f"nDCG@{k}": f"discounted gain (binary, 1 / log2(rank + 1)) of the first {k} / that of the best order",
            f"hit rate@{k}": f"share of queries with a relevant hit in the first {k}",
            f"MRR@{k}": f"mean of 1 / rank of the first relevant hit, 0 when it is not in the first {k}",
            R_PRECISION: "relevant hits in the first R / R, from a second search as deep as R",
        }

    @property
    def policies(self) -> tuple[str, ...]:
        return (
            "The query's own image is excluded from the hits and from R.",
            _UNLABELLED,
            "A labelled query with no other relevant image in the gallery (R = 0) cannot be answered: it is left "
            "out of every mean and counted under 'without a relevant image'.",
            "Where fewer than k images are returned, the missing ranks count as not relevant.",
        )

    def score(self, relevant_QK: BoolArray, num_relevant_Q: IntArray) -> Scores:
        k = self.k
        return {
            f"precision@{k}": metrics.precision_at_k(relevant_QK, k),
            f"recall@{k}": metrics.recall_at_k(relevant_QK, num_relevant_Q, k),
            f"mAP@{k}": metrics.average_precision_at_k(relevant_QK, num_relevant_Q, k),
            f"nDCG@{k}": metrics.ndcg_at_k(relevant_QK, num_relevant_Q, k),
            f"hit rate@{k}": metrics.hit_rate_at_k(relevant_QK, k),
            f"MRR@{k}": metrics.reciprocal_rank_at_k(relevant_QK, k),
        }


@dataclass(frozen=True)
class PaperProtocol:
    """The study's measure: ten neighbours, of which the first four are compared with all ten.

    Its precision@4 is at most 0.4 and its recall@4 says how the relevant ones among the ten are spread: neither
    is the usual metric of that name, hence the names here.
    """

    self_counts: bool = False

    name = ProtocolName.PAPER
    k = 4
    num_retrieved = 10
    relevances = (Relevance.SINGLE_LABEL,)
    needs_relevant = False
    needs_all_relevant_ranks = False
    precision_name = "paper precision@4"
    definitions: Mapping[str, str] = None  # type: ignore[assignment]
