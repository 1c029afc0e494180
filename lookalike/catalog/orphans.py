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
from lookalike.errors import DamagedArtifact, GalleryNotFound
from lookalike.storage.port import ObjectInfo, ObjectStore


class Kind(StrEnum):
    """What can be garbage, in the order in which it is collected: what refers comes before what it refers to."""

    INDEX = "index"
    SET = "set"
    PART = "part"
    VERSION = "version"
    RECORDS = "records"
    NOTES = "notes"  # of an ingest that was interrupted and not begun again
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
        position = int(np.searchsorted(self.images, wanted)[0])
        return position < self.images.size and bool(self.images[position] == wanted[0])

    def still_hold(self, store: ObjectStore) -> bool:
        """Whether no pointer has moved since."""
        return all(_etag(store, key) == etag for key, etag in self.pointers.items())


@dataclass(frozen=True)
class Roots:
    """What of a gallery is kept beside what its pointers refer to; all of it exists."""

    versions: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()  # named as those of :class:`Garbage`


NO_ROOTS = Roots()


def is_young(info: ObjectInfo, cutoff: datetime) -> bool:
    """Whether it was written after ``cutoff``, or nobody knows when."""
    return info.modified_at is None or info.modified_at > cutoff


def references(store: ObjectStore, gallery: str, cutoff: datetime, also: Roots = NO_ROOTS) -> References:
    """What is kept now, and ``also``; what was written after ``cutoff`` is young.

    Reads every set and every record part that is kept: 32 bytes in memory for each image. Raises GalleryNotFound, and
    DamagedArtifact when something that is referred to is missing: what that needs cannot be known, so nothing is
    garbage.
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
    indexes |= {
        _owner(info) for info in store.list(f"{folder}indexes/") if _is(info, "index.json") and is_young(info, cutoff)
    }
    set_ids = {identifier for entry in entries for identifier in (entry.base, entry.newest)}
    for index_id in indexes:
        set_ids.add(_referred(store, IndexManifest, keys.index_manifest(gallery, index_id)).set_id)
    for model in models:
        newest = documents.read_or_none(store, NewestSet, keys.newest_set(gallery, model))
        set_ids |= set() if newest is None else {newest.set_id}
    set_ids |= _sets_until_lately(store, f"{folder}sets/", cutoff) | also.sets
    kept_sets = [_referred(store, EmbeddingSet, keys.embedding_set(gallery, name)) for name in set_ids]

    parts = {f"{made.model_digest[:16]}/{part.part_id}" for made in kept_sets for part in made.parts}
    parts |= {
        _part(info) for info in store.list(f"{folder}embeddings/") if _is(info, "part.json") and is_young(info, cutoff)
    }
    parts |= also.parts
    lately = _until_lately(list(store.list(f"{folder}versions/")), cutoff)
    lately |= {present.version_id} if live is None else {present.version_id, live.version_id}
    lately |= also.versions
    versions = lately | {made.version_id for made in kept_sets}
    record_parts = {
        name: _referred(store, GalleryVersion, keys.gallery_version(gallery, name)).parts for name in versions
    }
    digests = {part.digest for name in versions for part in record_parts[name]}
    shown = {part.digest: part for name in lately for part in record_parts[name]}
    return References(
        names={
            Kind.INDEX: frozenset(indexes),
            Kind.SET: frozenset(set_ids),
            Kind.PART: frozenset(parts),
            Kind.VERSION: frozenset(versions),
            Kind.RECORDS: frozenset(digests),
            Kind.NOTES: frozenset(),
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
    yield from _contents(store, f"{folder}records/", Kind.RECORDS, kept, cutoff)
    for info in store.list(f"{folder}ingesting/"):
        if not is_young(info, cutoff):
            yield Garbage(Kind.NOTES, info.key.removeprefix(f"{folder}ingesting/"), None, (info,))
    yield from _contents(store, f"{folder}images/", Kind.IMAGE, kept, cutoff)


def thing_of(key: str) -> tuple[Kind, str] | None:
    """Which thing an object of a gallery is of, named as in :class:`Garbage`; None for what is never garbage."""
    parts = key.split("/")
    match parts[2:]:
        case ["indexes", name, _, *_]:
            return Kind.INDEX, name
        case ["sets", file]:
            return Kind.SET, file.partition(".")[0]
        case ["embeddings", model, "parts", name, _]:
            return Kind.PART, f"{model}/{name}"
        case ["versions", file]:
            return Kind.VERSION, file.partition(".")[0]
        case ["records", file]:
            return Kind.RECORDS, file.partition(".")[0]
        case ["images", _, name]:
            return Kind.IMAGE, name
        case ["ingesting", source, file]:
            return Kind.NOTES, f"{source}/{file}"
    return None


def _folders(store: ObjectStore, prefix: str, kind: Kind, kept: References, cutoff: datetime) -> Iterator[Garbage]:
    """Garbage below ``prefix`` that is a folder with a manifest, or was to become one."""
    for folder, inside in groupby(store.list(prefix), key=lambda info: info.key.rpartition("/")[0] + "/"):
        objects = {info.key.removeprefix(folder): info for info in inside}
        manifest = objects.get(_MANIFESTS[kind])
        name = folder.removeprefix(prefix).replace("/parts/", "/").rstrip("/")
        if "newest.json" in objects or "retired.json" in objects:  # the latter is being collected already
            continue
        old = tuple(info for info in objects.values() if info is not manifest and not is_young(info, cutoff))
        if manifest is None:
            leftover = old
        elif not kept.keeps(kind, name):
            if not is_young(manifest, cutoff):
                yield Garbage(kind, name, manifest, tuple(info for info in objects.values() if info is not manifest))
            continue
        else:
            named = _named(store, kind, manifest) if len(objects) > _LEAST_OBJECTS else objects.keys()
            leftover = tuple(info for info in old if info.key.removeprefix(folder) not in named)
        if leftover:
            yield Garbage(kind, name, None, leftover)


_MANIFESTS = {Kind.INDEX: "index.json", Kind.PART: "part.json"}
_LEAST_OBJECTS = 3  # a part's manifest, embeddings and items: with no more there is nothing left over


def _named(store: ObjectStore, kind: Kind, manifest: ObjectInfo) -> set[str]:
    """The files that belong to a finished index or part."""
    if kind is Kind.INDEX:
        index = documents.read(store, IndexManifest, manifest.key)
        return {"index.json", "tuned.json", *(file.name for file in index.files)}
    part = documents.read(store, PartManifest, manifest.key)
    return {"part.json", part.embeddings_file, part.items_file}


def _documents(store: ObjectStore, prefix: str, kind: Kind, kept: References, cutoff: datetime) -> Iterator[Garbage]:
    for info in store.list(prefix):
        if not is_young(info, cutoff) and not kept.keeps(kind, _stem(info)):
            yield Garbage(kind, _stem(info), info)


def _contents(store: ObjectStore, prefix: str, kind: Kind, kept: References, cutoff: datetime) -> Iterator[Garbage]:
    for info in store.list(prefix):
        if not is_young(info, cutoff) and not kept.keeps(kind, _stem(info)):
            yield Garbage(kind, _stem(info), None, (info,))


def _referred(store: ObjectStore, kind: type[documents.D], key: str) -> documents.D:
    """The document that something names. Raises DamagedArtifact where it is missing."""
    found = documents.read_or_none(store, kind, key)
    if found is None:
        raise DamagedArtifact(f"{key} is missing, so nothing can be collected", key=key)
    return found


def _sets_until_lately(store: ObjectStore, folder: str, cutoff: datetime) -> set[str]:
    """Of each model the sets that were its newest until lately."""
    of_model: dict[str, list[ObjectInfo]] = {}
    for info in store.list(folder):
        made = documents.read_or_none(store, EmbeddingSet, info.key)
        if made is not None:
            of_model.setdefault(made.model_digest, []).append(info)
    return {name for infos in of_model.values() for name in _until_lately(infos, cutoff)}


def _images(store: ObjectStore, gallery: str, parts: Iterable[records.RecordPart]) -> NDArray[np.bytes_]:
    found = [
        b"".join(bytes.fromhex(record.sha256) for record in records.read_part(store, gallery, part)) for part in parts
    ]
    return np.unique(np.frombuffer(b"".join(found), "S32"))


def _until_lately(infos: Iterable[ObjectInfo], cutoff: datetime) -> set[str]:
    """Those that are young or whose successor is: each was the present one until the next was written."""
    ordered = sorted(infos, key=lambda info: info.modified_at or _NEVER)
    following = [*ordered[1:], None][: len(ordered)]
    return {
        _stem(info)
        for info, successor in zip(ordered, following, strict=True)
        if is_young(info, cutoff) or (successor is not None and is_young(successor, cutoff))
    }


_NEVER = datetime.max.replace(tzinfo=UTC)


def _etag(store: ObjectStore, key: str) -> str | None:
    info = store.head(key)
    return None if info is None else info.etag


def _is(info: ObjectInfo, name: str) -> bool:
    return info.key.endswith(f"/{name}")


def _stem(info: ObjectInfo) -> str:
    return info.key.rpartition("/")[2].partition(".")[0]


def _owner(info: ObjectInfo) -> str:
    return info.key.split("/")[-2]


def _part(info: ObjectInfo) -> str:
    """``galleries/<gallery>/embeddings/<model>/parts/<part_id>/part.json`` -> ``<model>/<part_id>``."""
    pieces = info.key.split("/")
    return f"{pieces[3]}/{pieces[5]}"
