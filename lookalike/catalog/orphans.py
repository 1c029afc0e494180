"""What of a gallery nothing refers to any more.

Live, for a rollback, newest, or built and not yet promoted: what one of these needs is kept. So is whatever is young:
somebody may be about to refer to it. A gallery version or an embedding set that was the present one until lately
is young too, however long ago it was made: runs that began then still read it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog import documents, keys, records
from lookalike.catalog.embedding_sets import EmbeddingSet, NewestSet, PartManifest
from lookalike.catalog.galleries import GalleryPointer, GalleryVersion
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.live import Live
from lookalike.errors import GalleryNotFound
from lookalike.storage.port import ObjectInfo, ObjectStore


class Kind(StrEnum):
    """What can be garbage, in the order in which it is collected: what refers comes before what it refers to."""

    INDEX = "index"
    SET = "set"
    PART = "part"
    VERSION = "version"
    RECORDS = "records"
    IMAGE = "image"


@dataclass(frozen=True)
class Garbage:
    """One thing that nothing refers to. ``manifest`` makes it count and goes first; ``files`` are what it needs."""

    kind: Kind
    name: str
    manifest: ObjectInfo | None
    files: tuple[ObjectInfo, ...] = ()

    @property
    def objects(self) -> tuple[ObjectInfo, ...]:
        return self.files if self.manifest is None else (self.manifest, *self.files)


@dataclass(frozen=True)
class References:
    """What is kept, by the names that :class:`Garbage` has. ``pointers`` are the ETags of what decided that."""

    names: dict[Kind, frozenset[str]]
    images: NDArray[np.bytes_]  # SHA-256, S32, sorted
    pointers: dict[str, str | None]

    def keeps(self, kind: Kind, name: str) -> bool:
        if kind is not Kind.IMAGE:
            return name in self.names[kind]
        wanted = np.frombuffer(bytes.fromhex(name), "S32")
        return bool(np.isin(wanted, self.images).item())

    def still_hold(self, store: ObjectStore) -> bool:
        """Whether no pointer has moved since."""
        return all(_etag(store, key) == etag for key, etag in self.pointers.items())


def references(store: ObjectStore, gallery: str, cutoff: datetime) -> References:
    """What is kept now; what was written after ``cutoff`` is young. Raises GalleryNotFound.

    Reads every set and every record part that is kept: 32 bytes in memory for each image.
    """
    folder = keys.gallery_folder(gallery)
    models = {info.key.split("/")[3] for info in store.list(f"{folder}embeddings/")}
    pointers = [keys.gallery_pointer(gallery), keys.live(gallery), *(keys.newest_set(gallery, one) for one in models)]
    etags = {key: _etag(store, key) for key in pointers}  # before they are read
    present = documents.read_or_none(store, GalleryPointer, keys.gallery_pointer(gallery))
    if present is None:
        raise GalleryNotFound(f"there is no gallery {gallery!r}", gallery=gallery)
    live = documents.read_or_none(store, Live, keys.live(gallery))
    entries = []
    if live is not None:
        entries = [*live.models.values(), *(one.entry for one in live.former if one.entry is not None)]

    indexes = {index_id for entry in entries for index_id in entry.indexes.values()}
    indexes |= {_owner(info) for info in store.list(f"{folder}indexes/") if _is(info, "index.json") and _young(info, cutoff)}
    set_ids = {identifier for entry in entries for identifier in (entry.base, entry.newest)}
    for index_id in indexes:
        manifest = documents.read_or_none(store, IndexManifest, keys.index_manifest(gallery, index_id))
        set_ids |= set() if manifest is None else {manifest.set_id}
    for model in models:
        newest = documents.read_or_none(store, NewestSet, keys.newest_set(gallery, model))
        set_ids |= set() if newest is None else {newest.set_id}
    stored = [(info, documents.read_or_none(store, EmbeddingSet, info.key)) for info in store.list(f"{folder}sets/")]
    sets = {_stem(info): (info, made) for info, made in stored if made is not None}
    by_model = sorted(sets, key=lambda name: sets[name][1].model_digest)
    for _, same in groupby(by_model, key=lambda name: sets[name][1].model_digest):
        set_ids |= _until_lately([sets[name][0] for name in same], cutoff)
    kept_sets = [sets[name][1] for name in set_ids if name in sets]

    parts = {f"{made.model_digest[:16]}/{part.part_id}" for made in kept_sets for part in made.parts}
    parts |= {_part(info) for info in store.list(f"{folder}embeddings/") if _is(info, "part.json") and _young(info, cutoff)}
    lately = _until_lately(list(store.list(f"{folder}versions/")), cutoff)
    lately |= {present.version_id} if live is None else {present.version_id, live.version_id}
    versions = lately | {made.version_id for made in kept_sets}
    record_parts = {name: _record_parts(store, gallery, name) for name in versions}
    digests = {part.digest for name in versions for part in record_parts[name]}
    shown = {part.digest: part for name in lately for part in record_parts[name]}
    return References(
        names={
            Kind.INDEX: frozenset(indexes),
            Kind.SET: frozenset(set_ids),
            Kind.PART: frozenset(parts),
            Kind.VERSION: frozenset(versions),
            Kind.RECORDS: frozenset(digests),
        },
        images=_images(store, gallery, shown.values()),
        pointers=etags,
    )


def find_garbage(store: ObjectStore, gallery: str, kept: References, cutoff: datetime) -> Iterator[Garbage]:
    """What is not kept and was written before ``cutoff``, in the order of :class:`Kind`.

    Also the files of a kept index or part that its manifest does not name, which somebody left who was not the first.
    """
    folder = keys.gallery_folder(gallery)
    yield from _folders(store, f"{folder}indexes/", Kind.INDEX, kept, cutoff)
    yield from _documents(store, f"{folder}sets/", Kind.SET, kept, cutoff)
    yield from _folders(store, f"{folder}embeddings/", Kind.PART, kept, cutoff)
    yield from _documents(store, f"{folder}versions/", Kind.VERSION, kept, cutoff)
    for prefix, kind in ((f"{folder}records/", Kind.RECORDS), (f"{folder}images/", Kind.IMAGE)):
        for info in store.list(prefix):
            if not _young(info, cutoff) and not kept.keeps(kind, _stem(info)):
                yield Garbage(kind, _stem(info), None, (info,))
