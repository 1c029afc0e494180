"""Garbage collection: what nothing refers to and is older than a set time leaves the store.

Stopped anywhere it has taken whole things, or files that nothing names, and the next collection goes on.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from lookalike.catalog import documents, keys
from lookalike.catalog.indexes import IndexManifest
from lookalike.catalog.orphans import Garbage, Kind, References, find_garbage, is_young, references
from lookalike.errors import (
    DamagedArtifact,
    DependencyUnavailable,
    GalleryNotFound,
    LookalikeError,
    ObjectNotFound,
    PreconditionFailed,
)
from lookalike.pipeline.outside import lies_outside, publish_live, retire_index
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.retention import Retention
from lookalike.pipeline.workspace import Workspace
from lookalike.storage.port import ObjectInfo

_log = logging.getLogger(__name__)
_LOOK_EVERY = 64  # images and record parts, which nothing takes up again without writing them


class Collected(BaseModel):
    """How much of one kind was deleted."""

    model_config = ConfigDict(frozen=True)

    objects: int = 0
    size_bytes: int = 0

    def with_(self, garbage: Garbage) -> "Collected":
        size_bytes = sum(info.size_bytes for info in garbage.objects)
        return Collected(objects=self.objects + len(garbage.objects), size_bytes=self.size_bytes + size_bytes)


class CollectReport(BaseModel):
    """``deleted`` has an entry for each kind of which anything was.

    ``former_left`` counts the states that can still be rolled back to. ``kept_back`` are indexes that are garbage
    but whose server did not answer: the next collection tries again.
    """

    model_config = ConfigDict(frozen=True)

    gallery: str
    deleted: dict[Kind, Collected]
    former_left: int
    kept_back: tuple[str, ...] = ()


def collect(
    workspace: Workspace,
    gallery: str,
    retention: Retention,
    *,
    report: Report = silent,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> CollectReport:
    """Deletes what of ``gallery`` nothing refers to and was written longer ago than ``retention`` says.

    First it gives up, as :meth:`lookalike.catalog.live.LivePointers.forget_former` says, the states that were
    replaced longer ago and those beyond the number that is kept. Searches may go on meanwhile, and whatever takes
    less than the set time. Raises GalleryNotFound.
    """
    workspace.galleries.get(gallery)
    cutoff = now() - timedelta(seconds=retention.keep_s)
    before = workspace.pointers.etag(gallery)
    live = workspace.pointers.forget_former(gallery, before=cutoff, keep=retention.keep_former)
    if workspace.pointers.etag(gallery) != before:
        publish_live(workspace, gallery)
    deleted: dict[Kind, Collected] = {}
    kept_back: list[str] = []
    for garbage in finish_retired(workspace, gallery, kept_back):
        deleted[Kind.INDEX] = deleted.get(Kind.INDEX, Collected()).with_(garbage)
    sweep = _Sweep(workspace, gallery, cutoff)
    found = find_garbage(workspace.store, gallery, sweep.kept, cutoff)
    for number, garbage in enumerate(found, start=1):
        try:
            is_gone = sweep.delete(garbage)
        except DependencyUnavailable:
            if garbage.kind is not Kind.INDEX:
                raise
            kept_back.append(garbage.name)
            continue
        if is_gone:
            deleted[garbage.kind] = deleted.get(garbage.kind, Collected()).with_(garbage)
        report(Progress("collect", number))
    return CollectReport(
        gallery=gallery,
        deleted=deleted,
        former_left=0 if live is None else len(live.former),
        kept_back=tuple(kept_back),
    )


def collect_all(
    workspace: Workspace, retention: Retention, *, report: Report = silent
) -> tuple[list[CollectReport], dict[str, LookalikeError]]:
    """:func:`collect` of every gallery, one after the other; also says what went wrong, by gallery.

    A gallery that is deleted meanwhile is nothing that went wrong.
    """
    made, failed = [], {}
    for pointer in workspace.galleries.list():
        try:
            made.append(collect(workspace, pointer.name, retention, report=report))
        except GalleryNotFound:
            continue
        except LookalikeError as error:
            failed[pointer.name] = error
    return made, failed


def finish_retired(workspace: Workspace, gallery: str, kept_back: list[str]) -> Iterator[Garbage]:
    """Ends what a collection that was killed had begun with indexes on servers; yields what is deleted.

    One that was made again, or taken up, before that collection looked at the pointers stays. Those whose server does
    not answer are added to ``kept_back``.
    """
    store, live = workspace.store, workspace.pointers.get(gallery)
    entries = [] if live is None else [*live.models.values(), *(one.entry for one in live.former if one.entry)]
    in_use = {index_id for entry in entries for index_id in entry.indexes.values()}
    folder = f"{keys.gallery_folder(gallery)}indexes/"
    for note in [info.key for info in store.list(folder) if info.key.endswith("/retired.json")]:
        index_id = note.split("/")[3]
        manifest_key = keys.index_manifest(gallery, index_id)
        manifest = store.get(note)
        if store.head(manifest_key) is None and index_id in in_use:
            with contextlib.suppress(PreconditionFailed):
                store.put_if(manifest_key, manifest, etag=None)
        if store.head(manifest_key) is None:
            files = tuple(info for info in store.list(keys.index_folder(gallery, index_id)) if info.key != note)
            try:
                retire_index(workspace, documents.decode(IndexManifest, manifest, note))
            except (DamagedArtifact, ObjectNotFound) as error:
                _log.warning("nothing says any more what %s was on a server: %s", index_id, error.message)
            except DependencyUnavailable:
                kept_back.append(index_id)
                continue
            for info in files:
                store.delete(info.key)
            yield Garbage(Kind.INDEX, index_id, None, files)
        store.delete(note)


class _Sweep:
    """Deletes garbage that is still garbage."""

    def __init__(self, workspace: Workspace, gallery: str, cutoff: datetime) -> None:
        self._workspace = workspace
        self._store = workspace.store
        self._gallery = gallery
        self._cutoff = cutoff
        self._since_look = 0
        self.kept: References = references(self._store, gallery, cutoff)

    def delete(self, garbage: Garbage) -> bool:
        """Whether it was deleted: not where somebody refers to it by now, or has written it again.

        Of two programs of which one takes up what the other is about to delete, one sees it: who takes it up writes a
        pointer and then looks for the manifest, this deletes the manifest and then looks at the pointers.
        """
        if not self._is_garbage(garbage) or not self._as_listed(garbage):
            return False
        if garbage.manifest is not None:
            manifest = self._store.get(garbage.manifest.key)
            with self._noted(garbage, manifest):
                self._store.delete(garbage.manifest.key)
                if not self._is_garbage(garbage):
                    self._restore(garbage.manifest.key, manifest)
                    return False
                if garbage.kind is Kind.INDEX:
                    self._retire(garbage.manifest.key, manifest)
                self._delete_files(garbage)
            return True
        self._delete_files(garbage)
        return True

    def _delete_files(self, garbage: Garbage) -> None:
        for info in garbage.files:
            self._store.delete(info.key)

    @contextlib.contextmanager
    def _noted(self, garbage: Garbage, manifest: bytes) -> Iterator[None]:
        """Within, the next collection would know what there is to remove on a server if this one were killed."""
        note = None
        if garbage.kind is Kind.INDEX and garbage.manifest is not None:
            with contextlib.suppress(DamagedArtifact):  # then nobody knows where it was
                if lies_outside(self._workspace, documents.decode(IndexManifest, manifest, garbage.manifest.key)):
                    note = keys.retired_index(self._gallery, garbage.name)
                    self._store.put(note, manifest)
        try:
            yield
        except DependencyUnavailable:
            if self._store.head(keys.index_manifest(self._gallery, garbage.name)) is not None and note is not None:
                self._store.delete(note)
            raise
        if note is not None:
            self._store.delete(note)

    def _is_garbage(self, garbage: Garbage) -> bool:
        self._since_look += 1
        if garbage.manifest is not None or self._since_look >= _LOOK_EVERY:
            self._since_look = 0
            if not self.kept.still_hold(self._store):
                self.kept = references(self._store, self._gallery, self._cutoff)
        is_leftover = garbage.manifest is None and garbage.kind in (Kind.INDEX, Kind.PART)
        return is_leftover or not self.kept.keeps(garbage.kind, garbage.name)

    def _as_listed(self, garbage: Garbage) -> bool:
        return all(map(self._is_as_listed, garbage.objects if garbage.manifest is None else (garbage.manifest,)))

    def _is_as_listed(self, info: ObjectInfo) -> bool:
        # Another listing, of this one object: ETags of listings compare with each other.
        listed = next(iter(self._store.list(info.key)), None)
        if listed is None or listed.key != info.key or is_young(listed, self._cutoff):
            return False
        return listed.etag == info.etag

    def _retire(self, key: str, manifest: bytes) -> None:
        try:
            retire_index(self._workspace, documents.decode(IndexManifest, manifest, key))
        except (DamagedArtifact, ObjectNotFound) as error:
            _log.warning("nothing says any more what %s was on a server: %s", key, error.message)
        except DependencyUnavailable:
            self._restore(key, manifest)
            raise

    def _restore(self, key: str, manifest: bytes) -> None:
        with contextlib.suppress(PreconditionFailed):  # somebody made it anew
            self._store.put_if(key, manifest, etag=None)
