"""Galleries: a pointer to the present version, and versions that never change."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from pydantic import Field

from lookalike.catalog import documents, keys, records
from lookalike.catalog.documents import Document
from lookalike.catalog.records import RecordPart
from lookalike.errors import AlreadyExists, GalleryNotFound, ObjectNotFound, PreconditionFailed
from lookalike.storage.port import ObjectStore
from lookalike.types.images import ImageRecord

_POINTER = "gallery.json"
_PAGE = 1000  # objects that an S3 server lists in one answer


class GalleryVersion(Document):
    """All images of a gallery at one moment. Its identifier is the digest of this document."""

    gallery: str
    parts: tuple[RecordPart, ...] = ()

    @property
    def version_id(self) -> str:
        return documents.digest(self)

    @property
    def num_images(self) -> int:
        return sum(part.num_images for part in self.parts)


class GalleryPointer(Document):
    """``galleries/<gallery>/gallery.json``. ``sources`` says in words where its images came from."""

    name: str
    created_at: str
    description: str = ""
    version_id: str
    sources: dict[str, str] = Field(default_factory=dict)


class Galleries:
    """The galleries of one object store."""

    def __init__(self, store: ObjectStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._store = store
        self._now = now

    def create(self, name: str, *, description: str = "") -> GalleryPointer:
        """Raises AlreadyExists, or InvalidRequest for a name that is not allowed."""
        empty = self._save(GalleryVersion(gallery=keys.check_gallery_name(name)))
        wanted = GalleryPointer(
            name=name, created_at=self._now().isoformat(), description=description, version_id=empty
        )

        def only_if_absent(present: GalleryPointer | None) -> GalleryPointer:
            if present is not None:
                raise AlreadyExists(f"there is a gallery {name!r} already", gallery=name)
            return wanted

        return documents.change(self._store, GalleryPointer, keys.gallery_pointer(name), only_if_absent)

    def get(self, name: str) -> GalleryPointer:
        """Raises GalleryNotFound."""
        try:
            return documents.read(self._store, GalleryPointer, keys.gallery_pointer(name))
        except ObjectNotFound:
            raise GalleryNotFound(f"there is no gallery {name!r}", gallery=name) from None

    def get_or_create(self, name: str) -> GalleryPointer:
        try:
            return self.get(name)
        except GalleryNotFound:
            return self.create(name)

    def list(self) -> list[GalleryPointer]:
        """All galleries, by name."""
        return [documents.read(self._store, GalleryPointer, key) for key in self._pointers()]

    def _pointers(self) -> Iterator[str]:
        """Their keys. Of a gallery with many objects no more are listed than a server shows at once."""
        after: str | None = ""
        while after is not None:
            listing, after, passed = self._store.list(keys.GALLERIES, after=after), None, 0
            for info in listing:
                parts = info.key.split("/")
                if len(parts) == 3 and parts[2] == _POINTER:
                    yield info.key
                    passed = 0
                passed += 1
                if passed > _PAGE:
                    folder = f"{keys.GALLERIES}{parts[1]}/"
                    # The last key before the pointer, or one after all of the gallery.
                    after = folder + _POINTER[:-1] if info.key < folder + _POINTER else f"{folder[:-1]}0"
                    break

    def delete(self, name: str) -> None:
        """Removes the gallery and everything made of it; the pointer first, so that it is gone at once."""
        self.get(name)
        self._store.delete(keys.gallery_pointer(name))
        self._store.delete(keys.live(name))
        for info in list(self._store.list(keys.gallery_folder(name))):
            self._store.delete(info.key)

    def version(self, name: str, version_id: str | None = None) -> GalleryVersion:
        """The present version, or the one named."""
        wanted = version_id or self.get(name).version_id
        return documents.read(self._store, GalleryVersion, keys.gallery_version(name, wanted))

    def records(self, version: GalleryVersion) -> Iterator[ImageRecord]:
        """All records of ``version`` in key order."""
        return records.read_records(self._store, version.gallery, version.parts)

    def records_at(self, version: GalleryVersion, rows: Sequence[int]) -> Sequence[ImageRecord]:
        """The records at these places of :meth:`records`, which are ascending; reads only the parts they are in."""
        found: list[ImageRecord] = []
        start, position = 0, 0
        for part in version.parts:
            stop = start + part.num_images
            if position < len(rows) and rows[position] < stop:
                loaded = records.read_part(self._store, version.gallery, part)
                while position < len(rows) and rows[position] < stop:
                    found.append(loaded[rows[position] - start])
                    position += 1
            start = stop
        return found

    def find(self, version: GalleryVersion, key: str) -> ImageRecord | None:
        """The record under ``key``; reads one part."""
        for part in version.parts:
            if part.first_key <= key <= part.last_key:
                return next((r for r in records.read_part(self._store, version.gallery, part) if r.key == key), None)
        return None

    def replace(
        self,
        base: GalleryVersion,
        all_records: Iterable[ImageRecord],
        *,
        source: tuple[str, str] | None = None,
        created_at: str | None = None,
    ) -> GalleryVersion:
        """Makes ``all_records``, in key order, the present version. Raises PreconditionFailed if ``base`` is not.

        With ``created_at`` also where the gallery is another of that name by now, without the bytes of the former.
        """
        parts = tuple(records.write_parts(self._store, base.gallery, all_records))
        version = GalleryVersion(gallery=base.gallery, parts=parts)
        self._save(version)

        def move(present: GalleryPointer | None) -> GalleryPointer:
            pointer = self._same(base, present, created_at)
            sources = pointer.sources if source is None else {**pointer.sources, source[0]: source[1]}
            return pointer.model_copy(update={"version_id": version.version_id, "sources": sources})

        documents.change(self._store, GalleryPointer, keys.gallery_pointer(base.gallery), move)
        return version

    def apply(self, gallery: str, changes: Mapping[str, ImageRecord | None]) -> GalleryVersion:
        """Adds, replaces and (with None) deletes by key, on top of whatever the present version is."""
        written: GalleryVersion | None = None

        def move(present: GalleryPointer | None) -> GalleryPointer:
            nonlocal written
            if present is None:
                raise GalleryNotFound(f"there is no gallery {gallery!r}", gallery=gallery)
            base = self.version(gallery, present.version_id)
            parts = tuple(records.change_parts(self._store, gallery, base.parts, changes))
            written = GalleryVersion(gallery=gallery, parts=parts)
            return present.model_copy(update={"version_id": self._save(written)})

        documents.change(self._store, GalleryPointer, keys.gallery_pointer(gallery), move)
        assert written is not None  # noqa: S101 -- change() calls move at least once
        return written

    def _same(self, base: GalleryVersion, present: GalleryPointer | None, created_at: str | None) -> GalleryPointer:
        if present is None:
            raise GalleryNotFound(f"there is no gallery {base.gallery!r}", gallery=base.gallery)
        if present.version_id != base.version_id or created_at not in (None, present.created_at):
            raise PreconditionFailed(f"gallery {base.gallery!r} has changed meanwhile", gallery=base.gallery)
        return present

    def _save(self, version: GalleryVersion) -> str:
        self._store.put(keys.gallery_version(version.gallery, version.version_id), documents.encode(version))
        return version.version_id
