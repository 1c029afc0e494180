"""The index port: what a backend builds, opens and declares.

A backend sees rows ``0..N-1`` of one embedding set and nothing else: no gallery, no labels, no HTTP. What all
backends share (cosine similarity, ties, filters, offsets, deletes, adds) is in ``living.py`` over this port,
so that no backend can do it differently. Contract: tests/contracts/test_index_contract.py.

Shape suffixes: N embeddings, D dimension, Q queries, K neighbours.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from lookalike.types.filters import Filter
from lookalike.types.images import ImageRecord

ParamValue: TypeAlias = str | int | float | bool
Params: TypeAlias = Mapping[str, ParamValue]
NO_PARAMS: Params = MappingProxyType({})


@dataclass(frozen=True)
class Metric:
    """A library's own distance between two embeddings x and y, turned so that smaller is nearer.

    ``name`` is ``cosine`` (1 - cos), ``euclidean``, ``squared_euclidean``, ``minkowski`` (with ``p``) or
    ``inner_product`` (negated).
    """

    name: str
    p: float = 2.0


@dataclass(frozen=True)
class ParamSpec:
    """A parameter that a backend takes. ``minimum`` and ``maximum`` are inclusive; ``choices`` for strings."""

    type: type[int] | type[float] | type[bool] | type[str]
    default: ParamValue | None  # None: chosen from the number of embeddings and the dimension
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do; whatever is not declared here is refused, never imitated silently.

    ``joins_queries`` says that one call with many queries costs it less than as many calls, so that concurrent
    searches are worth joining (see ``batching.py``). ``keeps_outside`` says that the backend is an
    :class:`OutsideIndexes`, too.
    """

    metrics: tuple[str, ...]
    filters_natively: bool
    updates_in_place: bool
    build_params: Mapping[str, ParamSpec]
    search_params: Mapping[str, ParamSpec]
    joins_queries: bool = False
    keeps_outside: bool = False


@dataclass(frozen=True)
class BuildInput:
    """One embedding set, row by row.

    ``embeddings_ND`` is float32, C-contiguous, usually memory-mapped, every row of length 1: a builder reads
    it in order and keeps no second copy beyond what its library needs. ``ids_N16`` are the image ids of the
    rows, unique. ``records`` yields the rows' image records in row order, for backends that filter natively.
    """

    embeddings_ND: NDArray[np.float32]
    ids_N16: NDArray[np.uint8]
    records: Callable[[], Iterator[ImageRecord]] | None = None


@dataclass(frozen=True)
class Neighbours:
    """Up to K rows per query, nearest first by the backend's own distance.

    ``rows_QK`` is int64 with -1, and ``distances_QK`` float32 with +inf, where there are fewer than K.
    Distances are the library's own figure turned so that smaller is nearer (inner products negated).
    """

    rows_QK: NDArray[np.int64]
    distances_QK: NDArray[np.float32]


class Index(Protocol):
    """An opened index. Safe to search from several threads."""

    @property
    def metric(self) -> Metric:
        """What its distances are, so that embeddings beside the index can be given the same figure."""
        ...

    @property
    def num_embeddings(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    @property
    def search_params(self) -> Mapping[str, ParamSpec]:
        """Those of its backend's search parameters that this kind of index takes; others are refused."""
        ...

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        *,
        allowed_N: NDArray[np.bool_] | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,  # validated and complete
    ) -> Neighbours:
        """The ``k`` nearest rows of each query, ``k >= 1``; ``k`` may exceed the number of embeddings.

        With ``allowed_N`` only rows where it is true are returned, and as many of them as exist up to k: an
        approximate index over-fetches or scans until that holds. ``native_filter`` comes only to backends
        that declare ``filters_natively`` and then beside an ``allowed_N`` that already implies it or is None.
        """
        ...

    def close(self) -> None: ...


class Backend(Protocol):
    """One library that builds and opens indexes."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def build(self, source: BuildInput, directory: Path, params: Params) -> None:
        """Writes a complete index of ``source`` into the empty ``directory``; N may be 0.

        ``params`` are validated and complete (see ``params.complete``). Leaves nothing of use behind when it
        raises. Writes no pickle.
        """
        ...

    def open(self, directory: Path, embeddings_ND: NDArray[np.float32], ids_N16: NDArray[np.uint8]) -> Index:
        """Opens what :meth:`build` wrote, memory-mapped where the library can.

        ``embeddings_ND`` and ``ids_N16`` are those it was built from, so that no backend has to store them
        again. Raises DamagedArtifact.
        """
        ...


class OutsideIndexes(Protocol):
    """What a backend can do besides, that keeps its indexes on a server where other programs use them, too.

    An index there has a ``place``, the server's own name for it. Two indexes with the same content may have the
    same one. Everything but :meth:`is_outside` raises DependencyUnavailable, and DamagedArtifact for a place that
    the server does not have or a folder that names none.
    """

    def is_outside(self, build_params: Params) -> bool:
        """Whether an index built with these was built on the server."""
        ...

    def place(self, directory: Path) -> str:
        """The place of the index that :meth:`Backend.build` described in ``directory``. Asks nobody."""
        ...

    def await_ready(self, place: str) -> None:
        """Returns once the server has indexed all of it; at once where that is so already."""
        ...

    def publish(self, family: str, places: Mapping[str, str]) -> None:
        """Gives each name in ``places`` to its place, all at once.

        Names are ``family`` or begin with ``family.``; those of the family that are not in ``places`` go. What is
        so already is left as it is.
        """
        ...

    def retire(self, place: str) -> None:
        """Removes the index from the server; nothing happens where it is gone."""
        ...

    def snapshot(self, place: str) -> str:
        """Makes the server keep a copy of the index in a file of its own, and returns that file's name."""
        ...


def outside_indexes(backend: Backend) -> OutsideIndexes | None:
    """``backend`` as an :class:`OutsideIndexes` where it declares to be one."""
    return cast(OutsideIndexes, backend) if backend.capabilities.keeps_outside else None
