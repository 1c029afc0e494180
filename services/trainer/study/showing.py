"""Which pictures a study has, under which names, and of what."""

from collections import Counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidRequest
from lookalike.evaluation.labels import NO_LABEL, LevelLabels
from lookalike.pipeline.workspace import Workspace
from services.trainer.study.answers import K, Queries
from services.trainer.study.gallery import StudiedImages
from services.trainer.study.measured import Measured
from services.trainer.study.models import StudyModel
from services.trainer.study.page import Picture
from services.trainer.study.pictures import histogram, loss_curve, sheet

HISTOGRAM = "subcategories.png"
PER_GROUP = 3
"""Queries of each supercategory in a sheet; the first of each are what three queries are."""


def counts(images: StudiedImages, level: Literal["subcategory", "supercategory"]) -> dict[str, int]:
    """How many images have each single label, most first, ties by name."""
    found = Counter(label for record in images.records if (label := getattr(record.labels, level)) is not None)
    return dict(sorted(found.items(), key=lambda entry: (-entry[1], entry[0])))


def histogram_of(images: StudiedImages) -> Picture:
    """The histogram of subcategories."""
    return Picture(HISTOGRAM, histogram(counts(images, "subcategory")))


def curve_of(model: StudyModel, number: int) -> Picture | None:
    """The loss curve of the model that is ``number`` in the study, drawn from its events where it brings no PNG.

    Raises InvalidRequest where what it names cannot be read.
    """
    if model.loss_curve is not None:
        try:
            data = model.loss_curve.read_bytes()
        except OSError as error:
            raise InvalidRequest(f"the loss curve of {model.name} cannot be read: {error.strerror}") from error
    elif model.events is not None:
        data = loss_curve(model.events)
    else:
        return None
    return Picture(f"loss-{number}.png", data)


def sheet_of(
    workspace: Workspace, gallery: str, images: StudiedImages, measured: Measured, number: int, seed: int
) -> Picture | None:
    """The first four hits of some queries; the same queries for every model; None where no query has a label."""
    queries = measured.queries
    shown = shown_queries(images.labels(np.ones(len(images.records), np.bool_)).supercategory, queries, seed)
    if not shown.size:
        return None
    rows_Q, hits_QK = queries.rows_Q[shown], measured.hits_QK[shown][:, :K]
    data = sheet(workspace.store, gallery, images.records, rows_Q, hits_QK, workspace.limits)
    return Picture(f"retrieved-{number}.jpg", data)


def shown_queries(supercategory: LevelLabels, queries: Queries, seed: int) -> NDArray[np.int64]:
    """Positions of the queries in a sheet: three of each supercategory, drawn with ``seed``, one after the other."""
    codes_Q = supercategory.codes_N[queries.rows_Q]
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(np.flatnonzero(codes_Q == code))[:PER_GROUP] for code in np.unique(codes_Q[codes_Q != NO_LABEL])
    ]
    return np.array([rows[place] for place in range(PER_GROUP) for rows in drawn if place < len(rows)], dtype=np.int64)
