"""A gallery at one moment, while it is searched and changed: its pointers as they were read, and all they refer to.

Pointers are read in the opposite order of their writing: the live one, then the newest sets, then the gallery's. So
each is at least as new as what was written because of it, and together they are a state from which everything goes on.
What they refer to never changes; only garbage collection could take it, and then the moment is another.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lookalike.catalog import documents, keys
from lookalike.catalog.galleries import GalleryPointer, GalleryVersion
from lookalike.catalog.live import Live
from lookalike.catalog.orphans import NO_ROOTS, Garbage, Kind, References, Roots, find_garbage, references, thing_of
from lookalike.errors import ObjectNotFound
from lookalike.storage.port import ObjectInfo, ObjectStore
from lookalike.storage.read_only import ReadOnly, not_there

NEVER_YOUNG = datetime.max.replace(tzinfo=UTC)
_HEX = r"[0-9a-f]"
_DIGEST_IN_NAME = re.compile(
    rf"^galleries/[^/]+/(?:images/{_HEX}{{2}}/({_HEX}{{64}})|records/({_HEX}{{64}})\.jsonl"
    rf"|(?:sets|versions)/({_HEX}{{32}})\.json|embeddings/[^/]+/parts/[^/]+/(?:embeddings|items)-({_HEX}{{32}})\.npy)$"
)


@dataclass(frozen=True)
class GallerySnapshot:
    """``pointers`` are the bytes that were read, by key; ``kept`` is what they refer to.

    ``leftovers`` are files in the folders of kept parts and indexes that belong to none of them.
    """

    gallery: str
    version_id: str
    num_images: int
    live: Live | None
    pointers: Mapping[str, bytes]
    kept: References
    leftovers: frozenset[str]

    def holds(self, key: str) -> bool:
        """Whether an object of the gallery belongs to this moment; what was written later does not."""
        if is_pointer(key):
            return key in self.pointers
        named = thing_of(key)
        return named is None or (self.kept.keeps(*named) and key not in self.leftovers)


class PinnedStore(ReadOnly):
    """``store`` where some objects stay as they were read."""

    def __init__(self, store: ObjectStore, pinned: Mapping[str, tuple[bytes, str] | None]) -> None:
        self._store = store
        self._pinned = pinned

    def get(self, key: str) -> bytes:
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        if key not in self._pinned:
            return self._store.get_with_etag(key)
        found = self._pinned[key]
        if found is None:
            raise not_there(key)
        return found

    def head(self, key: str) -> ObjectInfo | None:
        if key not in self._pinned:
            return self._store.head(key)
        found = self._pinned[key]
        return None if found is None else ObjectInfo(key, len(found[0]), found[1])

    def fetch_file(self, key: str, path: Path) -> None:
        self._store.fetch_file(key, path)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        return self._store.list(prefix, after=after)


def snapshot_gallery(store: ObjectStore, gallery: str, also: Roots = NO_ROOTS) -> GallerySnapshot:
    """The gallery as it is now, and ``also``.

    Raises GalleryNotFound, and DamagedArtifact when something that is referred to is missing.
    """
    folder = keys.gallery_folder(gallery)
    models = sorted({info.key.split("/")[3] for info in store.list(f"{folder}embeddings/")})
    order = [keys.live(gallery), *(keys.newest_set(gallery, model) for model in models), keys.gallery_pointer(gallery)]
    pinned = {key: _read(store, key) for key in order}
    still = PinnedStore(store, pinned)
    kept = references(still, gallery, NEVER_YOUNG, also)
    garbage = find_garbage(still, gallery, kept, NEVER_YOUNG)
    present = documents.read(still, GalleryPointer, keys.gallery_pointer(gallery))
    version = documents.read(still, GalleryVersion, keys.gallery_version(gallery, present.version_id))
    return GallerySnapshot(
        gallery=gallery,
        version_id=present.version_id,
        num_images=version.num_images,
        live=documents.read_or_none(still, Live, keys.live(gallery)),
        pointers={key: found[0] for key, found in pinned.items() if found is not None},
        kept=kept,
        leftovers=frozenset(info.key for one in garbage if _is_leftover(one) for info in one.objects),
    )


def _is_leftover(garbage: Garbage) -> bool:
    return garbage.manifest is None and garbage.kind in (Kind.INDEX, Kind.PART)


def is_pointer(key: str) -> bool:
    """Whether it is one of the objects of a gallery that say what counts, and change."""
    parts = key.split("/")
    if len(parts) == 3:
        return parts[0] == "galleries" and parts[2] in ("gallery.json", "live.json")
    return len(parts) == 5 and (parts[0], parts[2], parts[4]) == ("galleries", "embeddings", "newest.json")


def digest_in(key: str) -> str | None:
    """The SHA-256 of an object's bytes, or its first 32 digits, where its key says it."""
    found = _DIGEST_IN_NAME.match(key)
    return None if found is None else next(group for group in found.groups() if group is not None)


def _read(store: ObjectStore, key: str) -> tuple[bytes, str] | None:
    try:
        return store.get_with_etag(key)
    except ObjectNotFound:
        return None
