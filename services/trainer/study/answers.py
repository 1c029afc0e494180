"""What each backend answers to each query, in rows of the studied images.

Shape suffixes: N images, Q queries, K hits, D dimension.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.labels import LabelArrays, Level
from lookalike.evaluation.metrics import precision_at_k
from lookalike.evaluation.relevance import Relevance, count_relevant, is_labelled, relevant_hits
from lookalike.indexes.params import complete
from lookalike.pipeline.ground import ground_of
from lookalike.pipeline.index_gallery import build_indexes
from lookalike.pipeline.measure import hits
from lookalike.pipeline.served_gallery import ServedGallery
from lookalike.pipeline.workspace import Workspace
from services.trainer.study.backends import StudyBackend
from services.trainer.study.decomposition import NOTHING, without_self
from services.trainer.study.gallery import Prepared, StudiedImages

RETRIEVED = 10
K = 4


@dataclass(frozen=True)
class Queries:
    """The queries of the study: ``rows_Q`` int64, ascending, and their ids."""

    rows_Q: NDArray[np.int64]
    ids_Q: NDArray[np.bytes_]


def served_hits(
    workspace: Workspace, served: ServedGallery, images: StudiedImages, queries: Queries, model: str, backend: str
) -> NDArray[np.int64]:
    """The ten hits of each query through the function that answers searches, itself left out: int64 ``[Q, K]``.

    -1 everywhere for a query that has no embedding under the model.
    """
    _, index = served.index(model, backend)
    ground = ground_of(workspace, served, index, queries.ids_Q)
    found_QK = np.full((len(queries.rows_Q), RETRIEVED), NOTHING, np.int64)
    if ground.num_queries:
        rows_QK = hits(served, index, ground, RETRIEVED, exclude_self=True).rows_QK
        positions = np.searchsorted(queries.rows_Q, images.rows_of(ground.ids_Q16))
        found_QK[positions] = _in_order(rows_QK, images.rows_of(index.living.ids_N16))
    return found_QK


def library_hits(
    workspace: Workspace, images: StudiedImages, queries: Queries, model: Prepared, chosen: StudyBackend
) -> NDArray[np.int64]:
    """The ten hits of each query by the library alone, as it was built: int64 ``[Q, K]``.

    It is asked for eleven, of which the query is one; nothing is fetched beyond, ordered again, or scanned. Raises
    MissingExtra, UnknownParameter or ParameterOutOfRange.
    """
    backend = workspace.backend(chosen.backend)
    gallery, embedding_set = model.embedding_set.gallery, model.embedding_set
    (manifest,) = build_indexes(workspace, gallery, embedding_set, [chosen.backend], params=dict(chosen.params))
    matrix = workspace.artifacts.matrix(embedding_set)
    of_set = images.rows_of(matrix.ids_N16)
    place_of_row = np.full(len(images.records), NOTHING, np.int64)
    place_of_row[of_set] = np.arange(len(of_set))
    places_Q = place_of_row[queries.rows_Q]
    asked_Q = np.flatnonzero(places_Q != NOTHING)
    found_QK = np.full((len(queries.rows_Q), RETRIEVED), NOTHING, np.int64)
    index = backend.open(workspace.artifacts.index_folder(manifest), matrix.embeddings_ND, matrix.ids_N16)
    try:
        params = complete(index.search_params, {})
        queries_QD = np.ascontiguousarray(matrix.embeddings_ND[places_Q[asked_Q]])
        rows_QK = index.search(queries_QD, RETRIEVED + 1, params=params).rows_QK
    finally:
        index.close()
    found_QK[asked_Q] = _in_order(without_self(rows_QK, places_Q[asked_Q], RETRIEVED), of_set)
    return found_QK


def precisions(labels: LabelArrays, level: Level, queries: Queries, hits_QK: NDArray[np.int64]) -> NDArray[np.float64]:
    """precision@4 of each query by protocol ``standard``, single-label: float64 ``[Q]``, NaN where it has none.

    That is: for a query without a label, and one with nothing relevant to find.
    """
    at_level = labels.at(level)
    values_Q = precision_at_k(relevant_hits(at_level, Relevance.SINGLE_LABEL, queries.rows_Q, hits_QK), K)
    scored_Q = is_labelled(at_level, Relevance.SINGLE_LABEL, queries.rows_Q) & (
        count_relevant(at_level, Relevance.SINGLE_LABEL, queries.rows_Q, self_counts=False) > 0
    )
    return np.where(scored_Q, values_Q, np.nan)


def _in_order(rows_QK: NDArray[np.int64], of_index: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(rows_QK == NOTHING, NOTHING, of_index[rows_QK])
