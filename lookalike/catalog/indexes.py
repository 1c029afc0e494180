"""Index manifests: what was built from which embedding set, how, and how well it does."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from lookalike.catalog import documents, keys
from lookalike.catalog.documents import Document
from lookalike.errors import IndexNotFound, ObjectNotFound, PreconditionFailed
from lookalike.storage.port import ObjectStore

ParamValue = str | int | float | bool


class IndexFile(Document):
    name: str
    size_bytes: int
    sha256: str


class IndexIdentity(Document):
    """What an index is made of. Equal identities give interchangeable indexes.

    ``version_id`` is that of the records, where the index holds them to filter by.
    """

    gallery: str
    set_id: str
    backend: str
    build_params: dict[str, ParamValue]
    version_id: str | None = None
    format_version: int = 1

    @property
    def index_id(self) -> str:
        return f"{self.backend}-{documents.digest(self)[:24]}"


class Parity(Document):
    """How often the index returned what exact search returns, on a seeded sample of the gallery's own images."""

    k: int
    num_queries: int
    knn_recall: float


class IndexManifest(Document):
    """``galleries/<gallery>/indexes/<index_id>/index.json``, written after all files of the index."""

    index_id: str
    gallery: str
    set_id: str
    version_id: str
    model: str
    backend: str
    build_params: dict[str, ParamValue]
    dimension: int
    num_embeddings: int
    files: tuple[IndexFile, ...]
    size_bytes: int
    build_s: float
    parity: Parity | None = None
    built_at: str


class TunedParams(Document):
    """Search parameters measured to reach a wanted knn recall on this index; beside its manifest."""

    params: dict[str, ParamValue] = Field(default_factory=dict)
    target_knn_recall: float
    knn_recall: float
    latency_p50_ms: float
    k: int


class Indexes:
    """The index manifests of one object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def get(self, gallery: str, index_id: str) -> IndexManifest:
        """Raises IndexNotFound."""
        try:
            return documents.read(self._store, IndexManifest, keys.index_manifest(gallery, index_id))
        except ObjectNotFound:
            raise IndexNotFound(f"there is no index {index_id} of {gallery}", index=index_id) from None

    def find(self, gallery: str, index_id: str) -> IndexManifest | None:
        return documents.read_or_none(self._store, IndexManifest, keys.index_manifest(gallery, index_id))

    def put(self, manifest: IndexManifest) -> None:
        self._store.put(keys.index_manifest(manifest.gallery, manifest.index_id), documents.encode(manifest))

    def touch(self, manifest: IndexManifest) -> None:
        """Writes the manifest of an index that is taken up again once more: collection goes by its age.

        Raises IndexNotFound where it is gone.
        """
        key = keys.index_manifest(manifest.gallery, manifest.index_id)
        try:
            data, etag = self._store.get_with_etag(key)
            self._store.put_if(key, data, etag=etag)
        except (ObjectNotFound, PreconditionFailed):
            raise IndexNotFound(f"there is no index {manifest.index_id} any more", index=manifest.index_id) from None

    def list(self, gallery: str) -> Iterator[IndexManifest]:
        """All complete indexes of ``gallery``."""
        for info in self._store.list(f"{keys.gallery_folder(gallery)}indexes/"):
            if info.key.endswith("/index.json"):
                yield documents.read(self._store, IndexManifest, info.key)

    def tuned(self, gallery: str, index_id: str) -> TunedParams | None:
        return documents.read_or_none(self._store, TunedParams, keys.tuned_params(gallery, index_id))

    def put_tuned(self, gallery: str, index_id: str, tuned: TunedParams) -> None:
        self._store.put(keys.tuned_params(gallery, index_id), documents.encode(tuned))


def search_defaults(tuned: TunedParams | None) -> Mapping[str, ParamValue]:
    """What a search uses when it names no parameters: the tuned ones, where there are some."""
    return {} if tuned is None else tuned.params
