"""One model of a study measured beyond its evaluation: what each backend answers to each query, taken apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.labels import LabelArrays, Level
from lookalike.pipeline.served_gallery import ServedGallery
from lookalike.pipeline.workspace import Workspace
from services.trainer.study.analysis import Evidence, analyse
from services.trainer.study.analysis_result import ModelAnalysis
from services.trainer.study.answers import Queries, library_hits, precisions, served_hits
from services.trainer.study.backends import StudyBackend
from services.trainer.study.decomposition import mean_cosine
from services.trainer.study.gallery import Prepared, StudiedImages, embeddings_in_order
from services.trainer.study.models import StudyModel
from services.trainer.study.raw import agreement, raw_in_order


@dataclass(frozen=True)
class Measured:
    """``hits_QK`` are the first backend's hits, int64 ``[Q, K]`` in rows of the studied images."""

    analysis: ModelAnalysis
    labels: LabelArrays
    queries: Queries
    hits_QK: NDArray[np.int64]
    mean_cosine: float

    def precision(self, level: Level) -> NDArray[np.float64]:
        """precision@4 of each query, float64 ``[Q]``, NaN for those that are not scored."""
        return precisions(self.labels, level, self.queries, self.hits_QK)


def measure_model(
    workspace: Workspace,
    served: ServedGallery,
    images: StudiedImages,
    queries: Queries,
    model: StudyModel,
    prepared: Prepared,
    backends: Sequence[StudyBackend],
    libraries: Sequence[StudyBackend],
    *,
    num_draws: int,
    seed: int,
) -> Measured:
    """Asks every backend, as served, and every library, alone.

    Raises InvalidRequest for raw embeddings that do not fit.
    """
    embeddings_ND, embedded_N = embeddings_in_order(workspace, images, prepared.embedding_set)
    raw_ND = None
    if model.raw is not None:
        gallery = prepared.embedding_set.gallery
        raw_ND = raw_in_order(workspace, gallery, images, embedded_N, prepared.manifest, model.raw)
    answered = {
        one.name: served_hits(workspace, served, images, queries, prepared.ref, one.backend) for one in backends
    }
    alone = {one.name: library_hits(workspace, images, queries, prepared, one) for one in libraries}
    labels = images.labels(embedded_N)
    evidence = Evidence(
        model=prepared.name,
        labels=labels,
        queries=queries,
        embedded_N=embedded_N,
        embeddings_ND=embeddings_ND,
        raw_ND=raw_ND,
        raw_agreement=None if raw_ND is None else agreement(raw_ND, embeddings_ND, embedded_N),
        served=answered,
        libraries=alone,
    )
    return Measured(
        analysis=analyse(evidence, num_draws=num_draws, seed=seed),
        labels=labels,
        queries=queries,
        hits_QK=answered[backends[0].name],
        mean_cosine=mean_cosine(embeddings_ND[embedded_N]),
    )
