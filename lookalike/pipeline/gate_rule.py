"""When a candidate may take the place of what is live."""

from dataclasses import dataclass

from lookalike.evaluation.labels import Level


@dataclass(frozen=True)
class GateRule:
    """precision@k, at ``level``, may be at most ``max_drop`` below that of what is live.

    Measured on ``num_queries`` images that ``seed`` draws, each excluded from its own hits; an image is relevant
    when it shares a label with the query.
    """

    level: Level = Level.SUBCATEGORY
    k: int = 10
    max_drop: float = 0.02
    num_queries: int = 1000
    seed: int = 0
