"""store -> backup: a consistent copy of everything, while the system runs.

Jobs are copied first, then the galleries' pointers are read, then all that they refer to is copied: so a gallery is
never older than what a job says of it, and nothing is copied that is garbage. What a backup in the same place has
already is not copied again. Killed anywhere it leaves no backup, and what the next one need not copy.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lookalike import __version__
from lookalike.catalog import documents
from lookalike.catalog.snapshot import GallerySnapshot
from lookalike.errors import InvalidRequest
from lookalike.pipeline.backup_copy import Copier, Former, Item, Moved
from lookalike.pipeline.backup_format import (
    ENTRIES,
    BackupManifest,
    Entry,
    GallerySummary,
    manifest_key,
    newest_readable,
    write_entries,
)
from lookalike.pipeline.backup_known import Digests, known_objects
from lookalike.pipeline.backup_lock import Held
from lookalike.pipeline.backup_prune import prune
from lookalike.pipeline.backup_walk import RESTORING, copy_jobs, snapshots_of, walk
from lookalike.pipeline.ordered import map_ordered
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.storage.port import ObjectStore

THREADS = 8
_STRICT_TRIES = 4
_REPORT_EVERY_S = 0.25

_log = logging.getLogger(__name__)


def back_up(
    store: ObjectStore,
    place: ObjectStore,
    scratch: Path,
    *,
    lock: AbstractContextManager[Held] | None = None,
    with_indexes: bool = True,
    full: bool = False,
    keep: int | None = None,
    threads: int = THREADS,
    report: Report = silent,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[BackupManifest, list[str]]:
    """Adds a backup of ``store`` to ``place``; returns what it says of itself, and which older ones were removed.

    Args:
        scratch: a folder of this machine for large objects on their way.
        lock: held meanwhile; None where nobody else can write to ``place``.
        with_indexes: whether the files of indexes are in it; without them a restore builds the indexes.
        full: copies everything again, also what a former backup has: mends what became damaged there.
        keep: how many of the newest are left at the end, this one among them; None: all. None goes where this one is
            not whole.

    What cannot be copied, because the store does not have it or has not what it was, is named in the manifest and left
    out: that something is damaged must not keep all else from being saved. Raises BackupRunning, DependencyUnavailable,
    and InvalidRequest for a store into which a restore has not come to its end.
    """
    if store.head(RESTORING) is not None:
        raise InvalidRequest("the store is being restored: repeat that until it has come to its end")
    with lock or nullcontext(Held()) as held:
        for number in range(_STRICT_TRIES + 1):
            known = Digests.none() if full else known_objects(place)
            copier = Copier(store, place, scratch, known, is_tolerant=number == _STRICT_TRIES)
            attempt = _Attempt(copier, held, with_indexes, full, threads, report)
            try:
                manifest = attempt.run(now)
            except Moved as moved:
                _log.info("the backup takes another moment: %s", moved)
                continue
            if keep is None or manifest.damaged:
                return manifest, []
            return manifest, prune(place, keep, made=manifest.backup_id, still_ours=held.check)
        raise AssertionError("the last try leaves out what it cannot copy")


@dataclass
class _Attempt:
    copier: Copier
    held: Held
    with_indexes: bool
    full: bool
    threads: int
    report: Report
    num_objects: int = 0
    size_bytes: int = 0

    def run(self, now: Callable[[], datetime]) -> BackupManifest:
        began, place = now(), self.copier.place
        former = Former(place, None if self.full else newest_readable(place))
        known_lists = set() if self.full else {info.key for info in place.list(ENTRIES)}

        def put_list(key: str, data: bytes) -> None:
            if key not in known_lists or not former.is_readable:
                place.put(key, data)

        def copy(pair: tuple[Item, Entry | None]) -> Entry | None:
            return self.copier.copy(*pair)

        with ThreadPoolExecutor(self.threads, "backup") as executor:
            jobs = copy_jobs(self.copier, executor)
            snapshots = snapshots_of(self.copier, jobs.unfinished, self.report)
            pairs = former.beside(walk(self.copier, jobs, snapshots, with_indexes=self.with_indexes))
            copied = map_ordered(executor, copy, pairs, window=self.threads * 4)
            parts = tuple(write_entries(self._counted(entry for _, entry in copied), put_list))
        self.report(Progress("backup", self.num_objects, self.num_objects))
        manifest = BackupManifest(
            backup_id=_new_id(began),
            began_at=began.isoformat(),
            ended_at=now().isoformat(),
            made_by=__version__,
            with_indexes=self.with_indexes,
            galleries={one.gallery: _summary(one) for one in snapshots.values()},
            num_objects=self.num_objects,
            size_bytes=self.size_bytes,
            new_objects=self.copier.new_objects,
            new_bytes=self.copier.new_bytes,
            parts=parts,
            damaged=tuple(self.copier.damaged),
        )
        self.held.check()
        place.put(manifest_key(manifest.backup_id), documents.encode(manifest))
        return manifest

    def _counted(self, entries: Iterable[Entry | None]) -> Iterator[Entry]:
        reported_s = 0.0
        for entry in entries:
            if entry is None:
                continue
            self.num_objects += 1
            self.size_bytes += entry.size_bytes
            if time.monotonic() - reported_s > _REPORT_EVERY_S:
                reported_s = time.monotonic()
                self.held.check()
                self.report(Progress("backup", self.num_objects))
            yield entry


def _new_id(began: datetime) -> str:
    """In the order of time, to the millisecond; two of different places hardly ever have the same."""
    at = began.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%S}.{at.microsecond // 1000:03}Z-{uuid.uuid4().hex[:6]}"


def _summary(one: GallerySnapshot) -> GallerySummary:
    live = {} if one.live is None else {name: sorted(entry.indexes) for name, entry in one.live.models.items()}
    sequence = None if one.live is None else one.live.sequence
    return GallerySummary(version_id=one.version_id, num_images=one.num_images, live=live, sequence=sequence)
