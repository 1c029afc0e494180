"""What an evaluation says, as it is kept in the store."""

from pydantic import BaseModel, ConfigDict

from lookalike.evaluation.bootstrap import Interval


class Result(BaseModel):
    """One (model, backend) pair at one level under one notion of relevance.

    ``num_scored`` queries are in the means; the others had no label, or nothing relevant to find. Latencies are
    of single searches by embedding, in milliseconds. ``knn_recall`` is the share of the exact k nearest
    neighbours, None while images wait to be folded into the indexes.
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
    knn_recall: float | None
    latency_ms: dict[str, float]
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
