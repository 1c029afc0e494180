"""This machine's copies of what is searched: embedding sets as one matrix, and index folders.

All of it can be thrown away at any time; a folder appears complete or not at all.
"""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from lookalike.catalog import keys
from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets, kept_rows
from lookalike.catalog.indexes import IndexFile, IndexManifest
from lookalike.errors import DamagedArtifact
from lookalike.storage.digests import file_sha256
from lookalike.storage.port import ObjectStore


@dataclass(frozen=True)
class SetMatrix:
    """An embedding set row by row, memory-mapped: float32 ``[N, D]`` and uint8 ``[N, 48]``."""

    embeddings_ND: NDArray[np.float32]
    items_N48: NDArray[np.uint8]

    @property
    def ids_N16(self) -> NDArray[np.uint8]:
        return np.ascontiguousarray(self.items_N48[:, :16])


class LocalArtifacts:
    """A cache folder on this machine, shared by any number of processes."""

    def __init__(self, folder: Path, store: ObjectStore, sets: EmbeddingSets) -> None:
        self._folder = folder
        self._store = store
        self._sets = sets

    def matrix(self, embedding_set: EmbeddingSet) -> SetMatrix:
        """The whole set in one memory-mapped matrix, written at the first call, a part at a time in memory."""
        folder = self._complete(
            self._folder / "sets" / embedding_set.set_id, lambda path: self._write_matrix(path, embedding_set)
        )
        shape = (embedding_set.num_embeddings, embedding_set.dimension)
        if shape[0] == 0:
            return SetMatrix(np.zeros(shape, np.float32), np.zeros((0, 48), np.uint8))
        return SetMatrix(
            np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False),
            np.load(folder / "items.npy", mmap_mode="r", allow_pickle=False),
        )

    def index_folder(self, manifest: IndexManifest) -> Path:
        """The folder of an index artifact, fetched and checked against its digests at the first call."""
        return self._complete(
            self._folder / "indexes" / manifest.index_id, lambda path: self._fetch_index(path, manifest)
        )

    def adopt_index(self, index_id: str, built: Path) -> None:
        """Makes a folder that was just built here this machine's copy, so that it isn't fetched again."""
        target = self._folder / "indexes" / index_id
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            shutil.rmtree(built)
        else:
            built.rename(target)

    def scratch(self) -> Path:
        """A new empty folder beside the others, on the same file system."""
        folder = self._folder / "scratch" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """:meth:`scratch`, removed at the end with whatever is in it."""
        folder = self.scratch()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def file(self, *names: str) -> Path:
        """A path for a cache file of somebody else's; its folder exists."""
        path = self._folder.joinpath(*names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _complete(self, target: Path, write: Callable[[Path], None]) -> Path:
        if target.exists():
            return target
        with self.temporary() as temporary:
            try:
                write(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary.rename(target)
            except OSError:
                if not target.exists():  # otherwise another process was faster, with the same content
                    raise
        return target

    def _write_matrix(self, folder: Path, embedding_set: EmbeddingSet) -> None:
        rows = embedding_set.num_embeddings
        if rows == 0:
            return
        shape = (rows, embedding_set.dimension)
        embeddings = open_memmap(folder / "embeddings.npy", mode="w+", dtype=np.float32, shape=shape)
        items = open_memmap(folder / "items.npy", mode="w+", dtype=np.uint8, shape=(rows, 48))
        start = 0
        for part in embedding_set.parts:
            loaded = self._sets.read_part(embedding_set.gallery, embedding_set.model_digest, part.part_id)
            kept = kept_rows(part)
            stop = start + kept.size
            embeddings[start:stop] = loaded.embeddings_ND[kept]
            items[start:stop] = loaded.items_N48[kept]
            start = stop
        embeddings.flush()
        items.flush()

    def _fetch_index(self, folder: Path, manifest: IndexManifest) -> None:
        for file in manifest.files:
            path = folder / file.name
            self._store.fetch_file(f"{keys.index_folder(manifest.gallery, manifest.index_id)}{file.name}", path)
            if file_sha256(path) != file.sha256:
                raise DamagedArtifact(f"index file {file.name} of {manifest.index_id} does not have its digest")


def describe_files(folder: Path) -> tuple[IndexFile, ...]:
    """Every file below ``folder`` with its size and SHA-256, in name order."""
    return tuple(
        IndexFile(name=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=file_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )
