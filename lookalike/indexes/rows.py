"""The rows of a living index: those of its base embedding set, then those added since.

Shape suffixes: N embeddings, R rows of base and delta, I rows asked for, D dimension.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lookalike.types.ids import as_keys


@dataclass(frozen=True)
class Embeddings:
    """Rows and their image ids, memory-mapped or not; every row has length 1."""

    embeddings_ND: NDArray[np.float32]
    ids_N16: NDArray[np.uint8]

    @classmethod
    def none(cls, dimension: int) -> "Embeddings":
        """No rows."""
        return cls(np.empty((0, dimension), np.float32), np.empty((0, 16), np.uint8))

    def plain(self) -> "Embeddings":
        """The same memory as plain arrays: each gather from a subclass such as memmap takes longer."""
        return Embeddings(np.asarray(self.embeddings_ND), np.asarray(self.ids_N16))


@dataclass(frozen=True)
class Rows:
    """Base rows, deleted ones included, and then delta rows; ids of those that live are unique."""

    base: Embeddings
    delta: Embeddings
    alive_N: NDArray[np.bool_] | None  # base rows that still exist; None: all

    @cached_property
    def ids_N16(self) -> NDArray[np.uint8]:
        """Image ids, uint8 [R, 16]."""
        if not len(self.delta.ids_N16):
            return np.ascontiguousarray(self.base.ids_N16)
        return np.concatenate([self.base.ids_N16, self.delta.ids_N16])

    @cached_property
    def keys_R(self) -> NDArray[np.bytes_]:
        """Image ids as byte strings that sort like their text."""
        return as_keys(self.ids_N16)

    def rows_of(self, ids_I16: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The living row of each image id, int64 [I]; -1 for those that are not here or deleted."""
        keys, rows = self._living_by_key
        wanted = as_keys(ids_I16)
        if not len(keys):
            return np.full(len(wanted), -1, np.int64)
        places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where(keys[places] == wanted, rows[places], -1)

    def embeddings_of(self, rows_I: NDArray[np.int64]) -> NDArray[np.float32]:
        """The stored embeddings of rows, float32 [I, D], a copy."""
        num_base, dimension = self.base.embeddings_ND.shape
        in_delta = rows_I >= num_base
        embeddings_ID = np.empty((len(rows_I), dimension), np.float32)
        embeddings_ID[~in_delta] = self.base.embeddings_ND[rows_I[~in_delta]]
        embeddings_ID[in_delta] = self.delta.embeddings_ND[rows_I[in_delta] - num_base]
        return embeddings_ID

    @cached_property
    def _living_by_key(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
        num_base = len(self.base.ids_N16)
        living = np.arange(num_base) if self.alive_N is None else np.flatnonzero(self.alive_N)
        rows = np.concatenate([living, np.arange(num_base, len(self.ids_N16))])
        keys = self.keys_R[rows]
        order = np.argsort(keys)
        return keys[order], rows[order]
