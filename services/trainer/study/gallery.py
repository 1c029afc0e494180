"""The images of a study in one order, and every model's embeddings and indexes of them, live."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.embedding_sets import EmbeddingSet
from lookalike.catalog.record_table import RecordTable
from lookalike.evaluation.labels import LabelArrays
from lookalike.pipeline.embed import EmbedReport
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.progress import Report
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.workspace import Workspace
from lookalike.types.ids import as_keys
from lookalike.types.images import ImageRecord, Labels
from lookalike.types.models import ModelManifest
from services.trainer.study.backends import StudyBackend


@dataclass(frozen=True)
class StudiedImages:
    """All images of the gallery by image_id: rows 0 … N-1 that mean the same under every model.

    Row numbers, here and in what follows, count these; ``ids_N`` are their ids as sorted byte strings.
    """

    ids_N: NDArray[np.bytes_]
    records: tuple[ImageRecord, ...]

    @classmethod
    def of(cls, table: RecordTable) -> "StudiedImages":
        """Reads every record of the table."""
        identifiers, records = [], []
        for identifier, record in table.records():
            identifiers.append(identifier)
            records.append(record)
        ids_N16 = np.frombuffer(b"".join(identifiers), np.uint8).reshape(-1, 16)
        return cls(as_keys(ids_N16), tuple(records))

    def rows_of(self, ids: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The rows of images by their ids, uint8 ``[M, 16]`` -> int64 ``[M]``; all of them are here."""
        return np.searchsorted(self.ids_N, as_keys(ids)).astype(np.int64)

    def labels(self, embedded_N: NDArray[np.bool_]) -> LabelArrays:
        """The labels of every row; an image without an embedding has none, as in an evaluation."""
        nothing = Labels()
        return LabelArrays.from_labels(
            record.labels if there else nothing for record, there in zip(self.records, embedded_N, strict=True)
        )


@dataclass(frozen=True)
class Prepared:
    """One model of the study with its indexes live. ``embedding_set`` is what they were built from."""

    name: str
    manifest: ModelManifest
    embedding_set: EmbeddingSet
    report: EmbedReport

    @property
    def ref(self) -> str:
        return str(self.manifest.ref)


def make_live(
    workspace: Workspace, gallery: str, name: str, ref: str, backends: Sequence[StudyBackend], report: Report
) -> Prepared:
    """Embeds the gallery under ``ref``, builds each of ``backends`` and promotes them, unchecked.

    What is there already is not done again. Parity and gate are left out: a study shows what it finds.
    """
    manifest = workspace.models.get(ref)
    embedded = embed_gallery(workspace, gallery, str(manifest.ref), report=report)
    embedding_set = newest_set(workspace, gallery, str(manifest.ref))
    indexes = []
    for chosen in backends:
        indexes += build_indexes(
            workspace, gallery, embedding_set, [chosen.backend], params=dict(chosen.params), report=report
        )
    promote_indexes(workspace, gallery, embedding_set, indexes, checks=Checks(min_parity=0))
    return Prepared(name, manifest, embedding_set, embedded)


def embeddings_in_order(
    workspace: Workspace, images: StudiedImages, embedding_set: EmbeddingSet
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The embeddings row by row, float32 ``[N, D]``, 0 where there is none, and bool ``[N]`` where there is one."""
    matrix = workspace.artifacts.matrix(embedding_set)
    rows = images.rows_of(matrix.ids_N16)
    embeddings_ND = np.zeros((len(images.records), embedding_set.dimension), np.float32)
    embeddings_ND[rows] = matrix.embeddings_ND
    embedded_N = np.zeros(len(images.records), np.bool_)
    embedded_N[rows] = True
    return embeddings_ND, embedded_N
