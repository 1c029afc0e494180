"""What all backends of one model are measured on: the queries, the labels, and the exact answers.

Shape suffixes: R rows of a living index (base, then delta), Q queries, K hits, D dimension.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.evaluation.labels import LabelArrays
from lookalike.indexes.exact_scan import ExactNeighbours, exact_neighbours
from lookalike.pipeline.served_gallery import ServedGallery, ServedIndex
from lookalike.pipeline.workspace import Workspace
from lookalike.types.ids import as_keys
from lookalike.types.images import Labels

_RECORDS = 10_000  # records held at a time


@dataclass(frozen=True)
class Ground:
    """The living rows of one embedding set with its additions, and the queries among them.

    ``base_ND`` and ``delta_MD`` are their embeddings, ``living_R`` says which rows can be hits.
    """

    base_ND: NDArray[np.float32]
    delta_MD: NDArray[np.float32]
    keys_R: NDArray[np.bytes_]
    living_R: NDArray[np.bool_]
    labels: LabelArrays
    rows_Q: NDArray[np.int64]
    queries_QD: NDArray[np.float32]

    @property
    def num_queries(self) -> int:
        return self.rows_Q.size

    @cached_property
    def ids_Q16(self) -> NDArray[np.uint8]:
        """The image ids of the queries."""
        return np.ascontiguousarray(self.keys_R[self.rows_Q]).view(np.uint8).reshape(-1, 16)

    def exact(self, k: int, *, exclude_self: bool) -> ExactNeighbours:
        """The exact ``k`` nearest living rows of each query; ties by row."""
        num_base = len(self.base_ND)
        excluded = self.rows_Q if exclude_self else np.full(self.num_queries, -1, np.int64)
        of_base = exact_neighbours(
            self.queries_QD,
            self.base_ND,
            k,
            exclude_rows=np.where(excluded < num_base, excluded, -1),
            allowed_N=self.living_R[:num_base],
        )
        if not len(self.delta_MD):
            return of_base
        of_delta = exact_neighbours(
            self.queries_QD, self.delta_MD, k, exclude_rows=np.where(excluded >= num_base, excluded - num_base, -1)
        )
        delta_rows = np.where(of_delta.rows_QK >= 0, of_delta.rows_QK + num_base, -1)
        rows = np.concatenate([of_base.rows_QK, delta_rows], axis=1)
        similarities = np.concatenate([of_base.similarities_QK, of_delta.similarities_QK], axis=1)
        order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        return ExactNeighbours(np.take_along_axis(rows, order, axis=1), np.take_along_axis(similarities, order, axis=1))


def ground_of(workspace: Workspace, served: ServedGallery, index: ServedIndex, query_ids: NDArray[np.bytes_]) -> Ground:
    """The ground under ``index``; of ``query_ids`` those that have an embedding in it."""
    living = index.living
    manifest = index.manifest
    base = workspace.artifacts.matrix(workspace.sets.get(manifest.gallery, manifest.set_id)).embeddings_ND
    every_row = np.arange(living.num_rows)
    living_R = living.rows_of(living.ids_N16) == every_row
    rows = living.rows_of(np.frombuffer(query_ids.tobytes(), np.uint8).reshape(-1, 16))
    rows_Q = rows[rows >= 0]
    return Ground(
        base_ND=np.asarray(base),
        delta_MD=living.embeddings_of(every_row[len(base) :]),
        keys_R=as_keys(living.ids_N16),
        living_R=living_R,
        labels=_labels(served, index, living_R),
        rows_Q=rows_Q,
        queries_QD=living.embeddings_of(rows_Q),
    )


def _labels(served: ServedGallery, index: ServedIndex, living_R: NDArray[np.bool_]) -> LabelArrays:
    """The labels of every row; a row that was deleted or replaced has none: it is relevant to nothing."""
    nothing = Labels()
    ids_R16 = index.living.ids_N16

    def each() -> Iterator[Labels]:
        for start in range(0, len(ids_R16), _RECORDS):
            identifiers = [row.tobytes() for row in ids_R16[start : start + _RECORDS]]
            records = served.table.get(identifiers)
            for one, alive in zip(identifiers, living_R[start : start + _RECORDS], strict=True):
                yield records[one].labels if alive and one in records else nothing

    return LabelArrays.from_labels(each())


def sample(ids_N16: NDArray[np.uint8], num_queries: int | None, seed: int) -> NDArray[np.bytes_]:
    """All ids, or a seeded sample of them in their order."""
    ids_N = as_keys(ids_N16)
    if num_queries is None or num_queries >= ids_N.size:
        return ids_N
    rows = np.random.default_rng(seed).choice(ids_N.size, size=num_queries, replace=False)
    return ids_N[np.sort(rows)]
