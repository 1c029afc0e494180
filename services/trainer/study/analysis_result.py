"""What a study says of backends and models beyond the table: effects, ladders, draws of three queries."""

from pydantic import BaseModel, ConfigDict

from lookalike.evaluation.bootstrap import Interval


class Value(BaseModel):
    """Immutable, and nothing but what is declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GridCell(Value):
    """precision@4 of exact search under one metric, on raw or normalised embeddings.

    ``same_hits`` is the share of the first four that cosine finds too.
    """

    level: str
    metric: str
    normalised: bool
    precision: Interval
    same_hits: float


class Effect(Value):
    """What changing one thing does to precision@4: the mean of ``of`` minus ``against`` over the same queries.

    ``kind`` is ``metric``, ``normalisation``, ``approximation`` or ``served`` (all that differs between two backends
    as they answer searches). ``knn_recall`` is the share of the ten hits of ``against`` that ``of`` has too, and
    ``same_hits`` that of the first four.
    """

    kind: str
    level: str
    of: str
    against: str
    difference: Interval
    knn_recall: float
    same_hits: float


class Step(Value):
    """One step on the way between two backends: the mean of ``to`` minus that of the step before."""

    name: str
    to: str
    difference: Interval


class Ladder(Value):
    """The difference between two backends of the study in steps that add up to ``total``.

    From Euclidean distance on raw embeddings, if they are given, to an approximate angular index. Whether metric or
    normalisation is changed first decides to which of the two the difference is credited: ``order`` says it. Three
    queries show, in 95 % of draws, a total between ``three_low`` and ``three_high``.
    """

    level: str
    order: str
    start: str
    steps: tuple[Step, ...]
    total: Interval
    three_low: float
    three_high: float


class DrawnMeans(Value):
    """Means of three queries: what they estimate, their standard deviation, and where 95 % of them are."""

    level: str
    system: str
    expected: float
    deviation: float
    low: float
    high: float
    win_share: float


class Misjudged(Value):
    """Two systems by three queries: the better one by ``difference`` over all queries loses in ``wrong`` of draws.

    95 % of the differences that three queries show lie between ``low`` and ``high``.
    """

    level: str
    better: str
    worse: str
    difference: float
    right: float
    wrong: float
    tied: float
    low: float
    high: float


class ThreeQueries(Value):
    """Draws of three queries, one of each supercategory where there are three.

    ``num_queries`` are those that every system scored.
    """

    of: str
    num_draws: int
    num_queries: int
    means: tuple[DrawnMeans, ...]
    pairs: tuple[Misjudged, ...]


class ModelAnalysis(Value):
    """Where the differences between backends come from, under one model.

    ``raw`` says whether its embeddings before normalisation were given; ``raw_agreement`` is then the lowest cosine
    of one of them, normalised, with the archive's (None where their dimensions differ).
    """

    model: str
    raw: bool
    raw_agreement: float | None
    grid: tuple[GridCell, ...]
    effects: tuple[Effect, ...]
    ladders: tuple[Ladder, ...]
    three_queries: ThreeQueries
