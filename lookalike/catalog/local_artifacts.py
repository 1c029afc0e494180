"""This machine's copies of what is searched: embedding sets as one matrix, and index folders.

All of it can be thrown away at any time; a folder appears complete or not at all.
"""

import mmap
import weakref
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from lookalike.catalog import keys
from lookalike.catalog.artifact_cache import ArtifactCache, Lease
from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets, kept_rows
from lookalike.catalog.indexes import IndexFile, IndexManifest
from lookalike.errors import DamagedArtifact
from lookalike.storage.digests import file_sha256
from lookalike.storage.port import ObjectStore

_SETS, _INDEXES = "sets", "indexes"
_ROW_BYTES = 48  # of an item


@dataclass(frozen=True)
class SetMatrix:
    """An embedding set row by row, memory-mapped: float32 ``[N, D]`` and uint8 ``[N, 48]``."""

    embeddings_ND: NDArray[np.float32]
    items_N48: NDArray[np.uint8]

    @property
    def ids_N16(self) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.items_N48[:, :16])


class LeasedFolder(PosixPath):
    """A folder of the cache; it stays at least as long as this object does."""

    lease: Lease


class LocalArtifacts:
    """A cache folder on this machine, shared by any number of processes.

    ``max_bytes`` limits embedding sets and indexes together, None doesn't. What was not used for longest goes first;
    what a process has open stays. Methods raise DiskFull where there is no room for what they would keep.
    """

    def __init__(self, folder: Path, store: ObjectStore, sets: EmbeddingSets, *, max_bytes: int | None = None) -> None:
        self._folder = folder
        self._store = store
        self._sets = sets
        self._cache = ArtifactCache(folder, (_SETS, _INDEXES), max_bytes=max_bytes)
        self._mapped: weakref.WeakValueDictionary[str, mmap.mmap] = weakref.WeakValueDictionary()

    def matrix(self, embedding_set: EmbeddingSet) -> SetMatrix:
        """The whole set in one memory-mapped matrix, written at the first call, a part at a time in memory.

        Its folder stays while the embeddings are mapped.
        """
        shape = (embedding_set.num_embeddings, embedding_set.dimension)
        folder, lease = self._cache.complete(
            _SETS,
            embedding_set.set_id,
            shape[0] * (shape[1] * 4 + _ROW_BYTES),
            lambda path: self._write_matrix(path, embedding_set),
        )
        if shape[0] == 0:
            return SetMatrix(np.zeros(shape, np.float32), np.zeros((0, _ROW_BYTES), np.uint8))
        matrix = SetMatrix(
            np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False),
            np.load(folder / "items.npy", mmap_mode="r", allow_pickle=False),
        )
        mapping = _mapping(matrix.embeddings_ND)
        _keep(lease, mapping)
        self._mapped[embedding_set.set_id] = mapping
        return matrix

    def index_folder(self, manifest: IndexManifest) -> LeasedFolder:
        """The folder of an index artifact, fetched and checked against its digests at the first call.

        It stays as long as the object that is returned, and as long as the embeddings of its set, with which an
        index is opened, are mapped.
        """
        path, lease = self._cache.complete(
            _INDEXES, manifest.index_id, manifest.size_bytes, lambda path: self._fetch_index(path, manifest)
        )
        mapping = self._mapped.get(manifest.set_id)
        if mapping is not None:
            _keep(lease, mapping)
        folder = LeasedFolder(path)
        folder.lease = lease
        return folder

    def adopt_index(self, index_id: str, built: Path) -> None:
        """Makes a folder that was just built here this machine's copy, so that it isn't fetched again."""
        self._cache.adopt(_INDEXES, index_id, built)

    def scratch(self) -> Path:
        """A new empty folder beside the others, on the same file system."""
        return self._cache.scratch()

    def temporary(self) -> AbstractContextManager[Path]:
        """:meth:`scratch`, removed at the end with whatever is in it."""
        return self._cache.temporary()

    def file(self, *names: str) -> Path:
        """A path for a cache file of somebody else's; its folder exists."""
        path = self._folder.joinpath(*names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _write_matrix(self, folder: Path, embedding_set: EmbeddingSet) -> None:
        rows, dimension = embedding_set.num_embeddings, embedding_set.dimension
        if rows == 0:
            return
        # Written, not mapped: a full disk is then an error, and not a signal that kills the process.
        with (folder / "embeddings.npy").open("wb") as embeddings, (folder / "items.npy").open("wb") as items:
            _write_header(embeddings, (rows, dimension), np.float32)
            _write_header(items, (rows, _ROW_BYTES), np.uint8)
            for part in embedding_set.parts:
                loaded = self._sets.read_part(embedding_set.gallery, embedding_set.model_digest, part.part_id)
                kept = kept_rows(part)
                embeddings.write(np.ascontiguousarray(loaded.embeddings_ND[kept], np.float32).data)
                items.write(np.ascontiguousarray(loaded.items_N48[kept], np.uint8).data)

    def _fetch_index(self, folder: Path, manifest: IndexManifest) -> None:
        for file in manifest.files:
            path = folder / file.name
            self._store.fetch_file(f"{keys.index_folder(manifest.gallery, manifest.index_id)}{file.name}", path)
            if file_sha256(path) != file.sha256:
                raise DamagedArtifact(f"index file {file.name} of {manifest.index_id} does not have its digest")


def _write_header(file: BinaryIO, shape: tuple[int, int], dtype: DTypeLike) -> None:
    """The beginning of an ``.npy`` file; its rows follow."""
    description = npy.dtype_to_descr(np.dtype(dtype))
    npy.write_array_header_1_0(file, {"descr": description, "fortran_order": False, "shape": shape})


def _mapping(array: NDArray[np.float32]) -> mmap.mmap:
    """The memory map under an array; it lives as long as any view of it does."""
    base: object = array
    while not isinstance(base, mmap.mmap):
        base = getattr(base, "base")  # noqa: B009 of arrays, views and memory maps alike
    return base


def _keep(lease: Lease, mapping: mmap.mmap) -> None:
    """Keeps the lease as long as the memory map lives: a finalizer holds what it will be called with."""
    weakref.finalize(mapping, lambda kept: None, lease)


def describe_files(folder: Path) -> tuple[IndexFile, ...]:
    """Every file below ``folder`` with its size and SHA-256, in name order."""
    return tuple(
        IndexFile(name=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
