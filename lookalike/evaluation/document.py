"""What an evaluation says, as it is kept in the store."""

from pydantic import BaseModel, ConfigDict

from lookalike.evaluation.bootstrap import Interval


class Result(BaseModel):
    """One (model, backend) pair at one level under one notion of relevance.

    ``num_scored`` queries are in the means. The others are ``num_unlabelled``, ``num_without_relevant`` (nothing
    relevant to find; the paper's protocol counts them in the means, as 0) and ``num_not_embedded`` (no embedding
    to search with). ``num_ranked_exactly`` of the scored have their R-precision from exact search, being deeper
    than a search goes. ``knn_recall`` is the share of the exact k nearest neighbours among the living images,
    ``latency_ms`` quantiles of ``num_timed`` single searches by embedding, in milliseconds, after warming up.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    backend: str
    index: str
    level: str
    relevance: str
    metrics: dict[str, Interval]
    num_scored: int
    num_unlabelled: int
    num_without_relevant: int
    num_not_embedded: int
    num_ranked_exactly: int
    knn_recall: float
    latency_ms: dict[str, float]
    num_timed: int
    build_s: float
    index_bytes: int


class EvaluationDocument(BaseModel):
    """One run. ``policies`` says what is done with the query itself and with queries that cannot be scored."""

    model_config = ConfigDict(frozen=True)

    evaluation_id: str
    gallery: str
    protocol: str
    k: int
    num_queries: int
    num_images: int
    seed: int
    self_counts: bool
    created_at: str
    machine: str
    policies: tuple[str, ...]
    results: tuple[Result, ...]
