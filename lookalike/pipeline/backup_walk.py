"""What is to be in a backup: jobs, a moment of each gallery, and everything else of the store, in key order."""

import heapq
import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lookalike.catalog import documents, keys
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.orphans import NO_ROOTS
from lookalike.catalog.snapshot import GallerySnapshot, digest_in, is_pointer, snapshot_gallery
from lookalike.errors import DamagedArtifact, GalleryNotFound, NewerFormat, ObjectNotFound
from lookalike.jobs.lanes import LANES
from lookalike.jobs.port import Job
from lookalike.jobs.records import JOBS, JobDocument
from lookalike.pipeline.backup_copy import Copier, Item
from lookalike.pipeline.backup_format import Entry
from lookalike.pipeline.backup_roots import roots_of
from lookalike.pipeline.backup_seen import BESIDE_INDEXES, IndexFiles, Seen
from lookalike.pipeline.ordered import map_ordered
from lookalike.pipeline.progress import Progress, Report

RESTORING = "restore.json"  # of a store that is being restored: never in a backup
_WINDOW = 32

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CopiedJobs:
    """``items`` are the documents, copied already, and the places in lanes of those that have not ended."""

    items: tuple[Item, ...]
    unfinished: tuple[Job, ...]


def copy_jobs(copier: Copier, executor: ThreadPoolExecutor) -> CopiedJobs:
    """Every job's document as it is now. A place in a lane is there if, and only if, its document has not ended."""
    items, unfinished = [], []

    def read(key: str) -> tuple[Entry, JobDocument | None] | None:
        try:
            data = copier.store.get(key)
        except ObjectNotFound:
            return None  # forgotten
        entry = Entry(key=key, sha256=copier.keep(data), size_bytes=len(data))
        try:
            return entry, documents.decode(JobDocument, data, key)
        except (DamagedArtifact, NewerFormat) as error:
            _log.warning("a job is copied as it is: %s", error.message)
            return entry, None

    for key, found in map_ordered(executor, read, (info.key for info in copier.store.list(JOBS)), window=_WINDOW):
        if found is None:
            continue
        entry, document = found
        items.append(Item(key, entry=entry))
        if document is not None and not document.job.state.has_ended:
            unfinished.append(document.job)
            if document.entry is not None:
                items.append(Item(document.entry, data=b"\n"))
    return CopiedJobs(tuple(items), tuple(unfinished))


def snapshots_of(copier: Copier, unfinished: Iterable[Job], report: Report) -> dict[str, GallerySnapshot]:
    """A moment of each gallery; with what jobs need that have not ended."""
    found = {}
    roots = roots_of(copier.store, unfinished)
    for number, pointer in enumerate(Galleries(copier.store).list(), start=1):
        try:
            found[pointer.name] = snapshot_gallery(copier.store, pointer.name, roots.get(pointer.name, NO_ROOTS))
        except GalleryNotFound:
            continue  # deleted meanwhile
        except (ObjectNotFound, DamagedArtifact) as error:
            copier.lacks(f"gallery {pointer.name}: {error.message}")
        report(Progress("look", number))
    return found


def walk(
    copier: Copier, jobs: CopiedJobs, snapshots: Mapping[str, GallerySnapshot], *, with_indexes: bool
) -> Iterator[Item]:
    """Everything that is to be in the backup, in key order; at the end it says what of the galleries was not there."""
    pointers = [Item(key, data=data) for one in snapshots.values() for key, data in one.pointers.items()]
    fixed = sorted((*jobs.items, *pointers), key=lambda item: item.key)
    yield from heapq.merge(_listed(copier, snapshots, with_indexes), fixed, key=lambda item: item.key)


def _listed(copier: Copier, snapshots: Mapping[str, GallerySnapshot], with_indexes: bool) -> Iterator[Item]:
    files = IndexFiles(copier.store)
    seen = {name: Seen(one) for name, one in snapshots.items()}
    for info in copier.store.list(""):
        if info.key.startswith((JOBS, LANES)) or info.key == RESTORING or is_pointer(info.key):
            continue
        if info.key.startswith(keys.GALLERIES):
            _, gallery, what, *rest = info.key.split("/")
            if gallery not in snapshots or not snapshots[gallery].holds(info.key):
                continue
            seen[gallery].note(info.key)
            if what == "indexes" and not with_indexes and "/".join(rest[1:]) not in BESIDE_INDEXES:
                continue
        expected = digest_in(info.key) or files.digest_of(info.key)
        yield Item(info.key, info.size_bytes, info.etag, expected)
    for one in seen.values():
        for reason in one.lacking(copier.store):
            copier.lacks(reason)
