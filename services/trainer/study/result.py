"""What a study says, as it is written to ``study.json``.

Everything measured is a mean over queries with its 95 % bootstrap interval. Nothing here names a place on a machine.
"""

from pydantic import Field

from lookalike.evaluation.bootstrap import Interval
from lookalike.evaluation.document import EvaluationDocument
from services.trainer.study.analysis_result import ModelAnalysis, ThreeQueries, Value


class PublishedFigure(Value):
    """A figure of the 2021 study, given by whoever has its text; ``source`` says where it stands there."""

    model: str
    backend: str
    level: str
    precision: float | None = None
    recall: float | None = None
    source: str


class ModelEntry(Value):
    """A model of the study. Where it could not be had, ``ref`` is None and ``said`` says why and what to do.

    ``mean_cosine`` is that of all pairs of images: near 1 the model sees all of them alike, and has ``collapsed``.
    """

    name: str
    origin: str
    said: str
    ref: str | None = None
    dimension: int | None = None
    input_size: int | None = None
    resize_policy: str | None = None
    recipe: dict[str, object] = Field(default_factory=dict)
    training_data: str = ""
    licence: str = ""
    num_embedded: int = 0
    num_failed: int = 0
    mean_cosine: float | None = None
    collapsed: bool = False
    loss_curve: str | None = None
    sheet: str | None = None


class BackendEntry(Value):
    """A backend of the table; ``unavailable_because`` where its library is not installed."""

    name: str
    backend: str
    metric: str
    params: dict[str, str | int | float | bool]
    unavailable_because: str | None = None


class Row(Value):
    """One line of the table. ``study_*`` are the 2021 study's figures, None where they are not given."""

    model: str
    backend: str
    protocol: str
    level: str
    precision: Interval
    recall: Interval
    knn_recall: float
    num_scored: int
    study_precision: float | None = None
    study_recall: float | None = None
    study_source: str | None = None


class StudyResult(Value):
    """The whole study. ``evaluations`` are the documents of both protocols, from which ``rows`` are taken.

    ``backends`` are those of the table; ``libraries`` were asked directly, for the analysis. ``findings`` are made from
    the figures alone. File names are of files beside the JSON.
    """

    format_version: int = 1
    title: str
    created_at: str
    machine: str
    seed: int
    num_images: int
    num_failed_images: int
    num_queries: int
    subcategories: dict[str, int]
    supercategories: dict[str, int]
    models: tuple[ModelEntry, ...]
    backends: tuple[BackendEntry, ...]
    libraries: tuple[BackendEntry, ...]
    rows: tuple[Row, ...]
    findings: tuple[str, ...]
    analyses: tuple[ModelAnalysis, ...]
    between_models: ThreeQueries | None
    published: tuple[PublishedFigure, ...]
    histogram: str
    evaluations: tuple[EvaluationDocument, ...]
