"""Embedding sets: all embeddings of one gallery under one model, in immutable parts.

A part is named by what went into it (the model's digest and the images' digests), so that the plan of an
interrupted run finds its finished parts again; it is done when its ``part.json`` exists, which is written
last and by one writer only. A set names its parts and, for each, the rows that do not belong to it (images
deleted or replaced since). What computed a part (precision, hardware, libraries) is its lineage: written beside
it, and no part of any name, so that workers of different machines fill one set.
"""

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog import documents, keys
from lookalike.catalog.documents import Document
from lookalike.embedding.runtime import Runtime
from lookalike.errors import DamagedArtifact, ObjectNotFound, PreconditionFailed
from lookalike.storage.port import ObjectStore
from lookalike.types.ids import IdArray, as_keys, pack_ids
from lookalike.types.images import ImageRecord

PART_IMAGES = 1024
ITEM_BYTES = 48  # image_id (16) and SHA-256 of the image's bytes (32)


def pack_items(records: Sequence[ImageRecord]) -> NDArray[np.uint8]:
    """What an embedding is of: uint8 ``[N, 48]``, image_id and SHA-256, so that new bytes are a new item."""
    ids_N16 = pack_ids(record.image_id for record in records)
    digests = b"".join(bytes.fromhex(record.sha256) for record in records)
    return np.concatenate([ids_N16, np.frombuffer(digests, np.uint8).reshape(-1, 32)], axis=1)


class PartFailure(Document):
    """``attempts`` counts the parts, this one included, that tried these bytes."""

    image_id: str
    key: str
    sha256: str
    code: str
    reason: str
    attempts: int = 1


class PartManifest(Document):
    """``galleries/<gallery>/embeddings/<model>/parts/<part_id>/part.json``.

    The files are named by their digests: of two that write one part at once, each keeps its own files and the
    first manifest counts. ``made_with`` is empty for parts from before it was recorded, and has several entries
    where compaction joined what different runtimes had made.
    """

    part_id: str
    model_digest: str
    num_embeddings: int
    dimension: int
    embeddings_sha256: str
    items_sha256: str
    embeddings_file: str = "embeddings.npy"
    items_file: str = "items.npy"
    failures: tuple[PartFailure, ...] = ()
    made_with: tuple[Runtime, ...] = ()
    made_at: str | None = None


class SetPart(Document):
    """A part as a set uses it: all its rows but ``excluded_rows``, which are ascending."""

    part_id: str
    num_rows: int
    excluded_rows: tuple[int, ...] = ()

    @property
    def num_embeddings(self) -> int:
        return self.num_rows - len(self.excluded_rows)


class EmbeddingSet(Document):
    """``galleries/<gallery>/sets/<set_id>.json``; the identifier is the digest of this document."""

    gallery: str
    version_id: str
    model: str
    model_digest: str
    dimension: int
    parts: tuple[SetPart, ...] = ()

    @property
    def set_id(self) -> str:
        return documents.digest(self)

    @property
    def num_embeddings(self) -> int:
        return sum(part.num_embeddings for part in self.parts)


class NewestSet(Document):
    """Pointer: the last complete set of a gallery under a model."""

    set_id: str
    at: str


@dataclass(frozen=True)
class Part:
    """A part in memory: float32 ``[N, D]`` and uint8 ``[N, 48]``."""

    embeddings_ND: NDArray[np.float32]
    items_N48: NDArray[np.uint8]

    @property
    def ids_N16(self) -> IdArray:
        return self.items_N48[:, :16]


def part_id(model_digest: str, items_N48: NDArray[np.uint8], attempt: int) -> str:
    """The name of the part that holds the embeddings of ``items_N48``; another attempt is another part."""
    state = hashlib.sha256(f"{model_digest}/{attempt}/".encode())
    state.update(np.ascontiguousarray(items_N48).tobytes())
    return state.hexdigest()[:32]


class EmbeddingSets:
    """The embedding sets of one object store."""

    def __init__(self, store: ObjectStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    def part_manifest(self, gallery: str, model_digest: str, identifier: str) -> PartManifest | None:
        """The manifest of a finished part, or None while it isn't."""
        folder = keys.embedding_part(gallery, model_digest, identifier)
        return documents.read_or_none(self._store, PartManifest, f"{folder}part.json")

    def finished_parts(self, gallery: str, model_digest: str) -> Iterator[str]:
        """Every part that is done, in the order of their names, whether a set uses it or not."""
        for info in self._store.list(keys.embedding_parts(gallery, model_digest)):
            folder, _, name = info.key.rpartition("/")
            if name == "part.json":
                yield folder.rpartition("/")[2]

    def write_part(
        self,
        gallery: str,
        model_digest: str,
        identifier: str,
        part: Part,
        failures: Iterable[PartFailure] = (),
        *,
        made_with: tuple[Runtime, ...] = (),
    ) -> PartManifest:
        """Stores ``part`` under ``identifier``; the manifest comes last and makes it count.

        Returns the manifest that counts, which is another's where somebody else finished the same part first.
        """
        folder = keys.embedding_part(gallery, model_digest, identifier)
        embeddings, items = _npy(part.embeddings_ND), _npy(part.items_N48)
        embeddings_sha256, items_sha256 = hashlib.sha256(embeddings).hexdigest(), hashlib.sha256(items).hexdigest()
        manifest = PartManifest(
            part_id=identifier,
            model_digest=model_digest,
            num_embeddings=part.embeddings_ND.shape[0],
            dimension=part.embeddings_ND.shape[1],
            embeddings_sha256=embeddings_sha256,
            items_sha256=items_sha256,
            embeddings_file=f"embeddings-{embeddings_sha256[:32]}.npy",
            items_file=f"items-{items_sha256[:32]}.npy",
            failures=tuple(failures),
            made_with=made_with,
            made_at=self._now().isoformat(),
        )
        self._store.put(f"{folder}{manifest.embeddings_file}", embeddings)
        self._store.put(f"{folder}{manifest.items_file}", items)
        try:
            self._store.put_if(f"{folder}part.json", documents.encode(manifest), etag=None)
        except PreconditionFailed:
            return self._finished(gallery, model_digest, identifier)
        return manifest

    def read_part(self, gallery: str, model_digest: str, identifier: str) -> Part:
        """Raises DamagedArtifact when the bytes are not those that the manifest names."""
        manifest = self._finished(gallery, model_digest, identifier)
        folder = keys.embedding_part(gallery, model_digest, identifier)
        return Part(
            _checked(self._store, f"{folder}{manifest.embeddings_file}", manifest.embeddings_sha256),
            self._items(folder, manifest),
        )

    def read_items(self, gallery: str, model_digest: str, identifier: str) -> tuple[PartManifest, NDArray[np.uint8]]:
        """What a part is of, uint8 ``[N, 48]``, without the embeddings. Raises DamagedArtifact."""
        manifest = self._finished(gallery, model_digest, identifier)
        return manifest, self._items(keys.embedding_part(gallery, model_digest, identifier), manifest)

    def lineage(self, embedding_set: EmbeddingSet) -> Iterator[PartManifest]:
        """The manifests of the parts of a set, in its order: with what each was made, and when."""
        for part in embedding_set.parts:
            yield self._finished(embedding_set.gallery, embedding_set.model_digest, part.part_id)

    def _finished(self, gallery: str, model_digest: str, identifier: str) -> PartManifest:
        manifest = self.part_manifest(gallery, model_digest, identifier)
        if manifest is None:
            raise DamagedArtifact(f"embedding part {identifier} is missing", part_id=identifier)
        return manifest

    def _items(self, folder: str, manifest: PartManifest) -> NDArray[np.uint8]:
        items: NDArray[np.uint8] = _checked(self._store, f"{folder}{manifest.items_file}", manifest.items_sha256)
        return items

    def newest(self, gallery: str, model_digest: str) -> EmbeddingSet | None:
        """The last complete set of ``gallery`` under the model, or None."""
        pointer = documents.read_or_none(self._store, NewestSet, keys.newest_set(gallery, model_digest))
        return None if pointer is None else self.get(gallery, pointer.set_id)

    def newest_etag(self, gallery: str, model_digest: str) -> str | None:
        """Changes whenever another set becomes the newest; None before the first."""
        info = self._store.head(keys.newest_set(gallery, model_digest))
        return None if info is None else info.etag

    def get(self, gallery: str, set_id: str) -> EmbeddingSet:
        """Raises ObjectNotFound."""
        return documents.read(self._store, EmbeddingSet, keys.embedding_set(gallery, set_id))

    def store(self, embedding_set: EmbeddingSet) -> str:
        """Stores the set under its identifier, which it returns; one that exists is not written again."""
        identifier = embedding_set.set_id
        key = keys.embedding_set(embedding_set.gallery, identifier)
        if self._store.head(key) is None:
            self._store.put(key, documents.encode(embedding_set))
        return identifier

    def finish(self, embedding_set: EmbeddingSet) -> str:
        """Stores the set and makes it the newest, whatever was. Returns its identifier."""
        identifier = self.store(embedding_set)
        key = keys.newest_set(embedding_set.gallery, embedding_set.model_digest)
        self._store.put(key, documents.encode(self._pointer(identifier)))
        return identifier

    def finish_over(self, embedding_set: EmbeddingSet, etag: str | None) -> str:
        """Stores the set and makes it the newest, but only over the pointer that had ``etag`` (None: over none).

        Nothing is written where the pointer names the set already. Returns the set's identifier. Raises
        PreconditionFailed when another set became the newest in the meantime: what it holds must not be lost.
        """
        gallery, identifier = embedding_set.gallery, embedding_set.set_id
        key = keys.newest_set(gallery, embedding_set.model_digest)
        pointer = documents.read_or_none(self._store, NewestSet, key)
        if pointer is None or pointer.set_id != identifier:
            # Written also where it exists: its time says since when it is in use.
            self._store.put(keys.embedding_set(gallery, identifier), documents.encode(embedding_set))
            self._store.put_if(key, documents.encode(self._pointer(identifier)), etag=etag)
        return identifier

    def _pointer(self, set_id: str) -> NewestSet:
        return NewestSet(set_id=set_id, at=self._now().isoformat())


def kept_rows(part: SetPart) -> NDArray[np.int64]:
    """The rows of a part that belong to the set, ascending."""
    rows = np.arange(part.num_rows)
    return np.delete(rows, np.asarray(part.excluded_rows, dtype=np.int64))


def contains(sorted_items: NDArray[np.bytes_], items_N48: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of ``items_N48`` are in ``sorted_items`` (made by ``np.sort(as_keys(...))``): bool ``[N]``."""
    wanted = as_keys(items_N48)
    if sorted_items.size == 0:
        return np.zeros(wanted.shape[0], dtype=bool)
    positions = np.minimum(np.searchsorted(sorted_items, wanted), sorted_items.size - 1)
    found: NDArray[np.bool_] = sorted_items[positions] == wanted
    return found


def _npy(array: NDArray[np.float32] | NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _checked(store: ObjectStore, key: str, sha256: str) -> Any:
    try:
        data = store.get(key)
    except ObjectNotFound as error:
        raise DamagedArtifact(f"{key} is missing", key=key) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedArtifact(f"{key} does not have its digest", key=key)
    return np.load(io.BytesIO(data), allow_pickle=False)
