"""Whether all of a gallery's moment was seen in a listing that took its time."""

from collections import Counter
from collections.abc import Iterator

from lookalike.catalog import documents, keys
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.orphans import Kind, thing_of
from lookalike.catalog.snapshot import GallerySnapshot
from lookalike.storage.port import ObjectStore

BESIDE_INDEXES = ("index.json", "tuned.json")


class IndexFiles:
    """The digests of the files of one index after the other, in key order, as their manifests say them."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._folder = ""
        self._files: dict[str, str] = {}

    def digest_of(self, key: str) -> str | None:
        """The SHA-256 of an index's file; None for any other key."""
        parts = key.split("/")
        if len(parts) < 5 or parts[2] != "indexes" or parts[4] in BESIDE_INDEXES:
            return None
        folder = "/".join(parts[:4]) + "/"
        if folder != self._folder:
            manifest = documents.read_or_none(self._store, IndexManifest, f"{folder}index.json")
            self._files = {} if manifest is None else {file.name: file.sha256 for file in manifest.files}
            self._folder = folder
        return self._files.get(key.removeprefix(folder))


class Seen:
    """What a listing has shown of one gallery. A thing is deleted by its manifest first, then its other files."""

    def __init__(self, snapshot: GallerySnapshot) -> None:
        self._snapshot = snapshot
        self._things: dict[Kind, set[str]] = {kind: set() for kind in Kind}
        self._num_images = 0
        self._index_files: Counter[str] = Counter()

    def note(self, key: str) -> None:
        """An object that belongs to the moment."""
        named = thing_of(key)
        if named is None:
            return
        kind, name = named
        if kind is Kind.IMAGE:
            self._num_images += 1
        elif kind is Kind.INDEX and not key.endswith(f"{name}/index.json"):
            self._index_files[name] += not key.endswith(f"{name}/tuned.json")
        elif kind is not Kind.PART or key.endswith("/part.json"):
            self._things[kind].add(name)

    def lacking(self, store: ObjectStore) -> Iterator[str]:
        """What belongs to the moment and was not shown, in words."""
        gallery, kept = self._snapshot.gallery, self._snapshot.kept
        for kind, names in kept.names.items():
            yield from (f"{kind} {name} of {gallery} is missing" for name in sorted(names - self._things[kind]))
        for name in sorted(self._things[Kind.INDEX]):
            manifest = documents.read_or_none(store, IndexManifest, keys.index_manifest(gallery, name))
            if manifest is None or len(manifest.files) != self._index_files[name]:
                yield f"index {name} of {gallery} lacks files"
        if self._num_images != kept.images.size:
            yield f"{kept.images.size - self._num_images} images of {gallery} are missing"
