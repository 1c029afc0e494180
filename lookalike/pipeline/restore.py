"""backup -> store: everything of a backup, or some of its galleries, where nothing is in the way.

What is written last is what makes the rest count: contents, then what describes them, then indexes that must be built,
then the pointers of the galleries, then the jobs, then their places in the lanes. So a gateway or a worker that is
looking meanwhile sees no gallery before it is whole, and a job only when everything that it works on is there. Killed
anywhere, the same call goes on: what is there is not written again.
"""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from lookalike.catalog import documents, keys
from lookalike.catalog.documents import Document
from lookalike.catalog.snapshot import digest_in
from lookalike.errors import AlreadyExists, BackupNotFound, DamagedArtifact, StoreNotEmpty
from lookalike.evaluation.document import EvaluationDocument
from lookalike.pipeline.backup import THREADS
from lookalike.pipeline.backup_format import BackupManifest, Entry
from lookalike.pipeline.backup_known import known_objects
from lookalike.pipeline.backup_view import BackupView, fetch, fetch_file
from lookalike.pipeline.backup_walk import RESTORING
from lookalike.pipeline.change import delete_gallery
from lookalike.pipeline.ordered import map_ordered
from lookalike.pipeline.outside import publish_live
from lookalike.pipeline.progress import Progress, Report, silent
from lookalike.pipeline.restore_indexes import build_missing, is_to_be_built
from lookalike.pipeline.restore_order import WHERE, Rank, rank_of
from lookalike.pipeline.workspace import Workspace
from lookalike.storage.port import ObjectStore
from lookalike.types.models import ModelManifest

_EVALUATIONS = "evaluations/"
_IN_MEMORY_BYTES = 1 << 20
_REPORT_EVERY = 100


class _Restoring(Document):
    """``restore.json`` of a store that is being restored; ``forced``: where other things may lie in the same places."""

    backup_id: str
    galleries: tuple[str, ...] | None
    forced: bool = False


class RestoreReport(BaseModel):
    """``written`` and ``there`` count objects; ``built`` are the indexes that had to be built."""

    model_config = ConfigDict(frozen=True)

    backup_id: str
    galleries: tuple[str, ...]
    written: int
    there: int
    size_bytes: int
    built: tuple[str, ...]


def restore(
    workspace: Workspace,
    place: ObjectStore,
    manifest: BackupManifest,
    scratch: Path,
    *,
    galleries: Sequence[str] | None = None,
    force: bool = False,
    threads: int = THREADS,
    report: Report = silent,
) -> RestoreReport:
    """Brings back all of the backup, or only ``galleries`` with their evaluations and all models.

    The store must be empty but for models, or with ``galleries`` have none of these. ``force`` writes over what is
    there, and deletes those galleries first; what the backup does not have stays. Jobs that had not ended go on.

    Raises StoreNotEmpty, BackupNotFound for a gallery that the backup does not have, AlreadyExists for a model of the
    store under whose name and version the backup has another, DamagedArtifact, and DependencyUnavailable, also where a
    server is away that is to have an index: the same call goes on when it is back.
    """
    return _Restore(workspace, place, manifest, scratch, galleries, force, threads, report).run()


class _Restore:
    def __init__(
        self,
        workspace: Workspace,
        place: ObjectStore,
        manifest: BackupManifest,
        scratch: Path,
        galleries: Sequence[str] | None,
        force: bool,
        threads: int,
        report: Report,
    ) -> None:
        self._workspace, self._store = workspace, workspace.store
        self._place, self._manifest, self._view = place, manifest, BackupView(place, manifest)
        self._scratch, self._threads, self._report = scratch, threads, report
        self._chosen = None if galleries is None else tuple(sorted(set(galleries)))
        self._force = force
        self._written = self._there = self._size_bytes = self._done = 0

    def run(self) -> RestoreReport:
        names = self._chosen if self._chosen is not None else tuple(sorted(self._manifest.galleries))
        for name in names:
            if name not in self._manifest.galleries:
                raise BackupNotFound(f"backup {self._manifest.backup_id} has no gallery {name!r:.100}", gallery=name)
        trust = self._begin(names)
        with ThreadPoolExecutor(self._threads, "restore") as executor:
            for rank in Rank:
                if rank is Rank.LIVE:
                    built = self._build(names)
                self._write(executor, rank, trust=trust)
        for name in names:
            publish_live(self._workspace, name)
        self._store.delete(RESTORING)
        return RestoreReport(
            backup_id=self._manifest.backup_id,
            galleries=names,
            written=self._written,
            there=self._there,
            size_bytes=self._size_bytes,
            built=built,
        )

    def _begin(self, names: tuple[str, ...]) -> bool:
        """Makes the store ready, unless the same call has begun. Whether all that is there is what that has written."""
        wanted = _Restoring(backup_id=self._manifest.backup_id, galleries=self._chosen, forced=self._force)
        begun = documents.read_or_none(self._store, _Restoring, RESTORING)
        if begun is not None and (begun.backup_id, begun.galleries) == (wanted.backup_id, wanted.galleries):
            return not begun.forced
        if begun is not None and not self._force:
            raise StoreNotEmpty(
                f"the restore of {begun.backup_id} into this store has not come to its end: repeat it, or force this",
                backup=begun.backup_id,
            )
        self._refuse_other_models()
        if self._force:
            self._refuse_what_is_not_whole()
        if self._chosen is None:
            if not self._force:
                self._refuse_what_is_there()
        else:
            for name in names:
                if next(iter(self._store.list(keys.gallery_folder(name))), None) is None:
                    continue
                if not self._force:
                    raise StoreNotEmpty(f"there is something of a gallery {name!r} already", gallery=name)
                if self._store.head(keys.gallery_pointer(name)) is not None:
                    delete_gallery(self._workspace, name)
        self._store.put(RESTORING, documents.encode(wanted))
        return False

    def _refuse_what_is_there(self) -> None:
        for info in self._store.list(""):
            if not info.key.startswith(keys.MODELS):
                raise StoreNotEmpty(
                    f"the store is not empty (it has {info.key}): restore into another, choose galleries, or force",
                    key=info.key,
                )

    def _refuse_what_is_not_whole(self) -> None:
        """Before anything is deleted or written over: the backup has, by name, all that is to come back."""
        there = known_objects(self._place)
        for entry in self._view.entries():
            if self._is_wanted(entry, rank_of(entry.key)) and entry.sha256 not in there:
                raise DamagedArtifact(f"{entry.key} in the backup is missing", key=entry.key, sha256=entry.sha256)

    def _refuse_other_models(self) -> None:
        for entry in self._view.entries(keys.MODELS):
            if not entry.key.endswith("/manifest.json"):
                continue
            present = documents.read_or_none(self._store, ModelManifest, entry.key)
            if present is None:
                continue
            ours = documents.read(self._view, ModelManifest, entry.key)
            if present.embedding_digest != ours.embedding_digest:
                raise AlreadyExists(
                    f"the store has another model under {ours.ref} than the backup", model=str(ours.ref)
                )

    def _write(self, executor: ThreadPoolExecutor, rank: Rank, *, trust: bool) -> None:
        """Writes the entries of one rank. ``trust``: what has the right size was written by this very restore."""
        found = (entry for prefix in WHERE[rank] for entry in self._view.entries(prefix))
        wanted = (entry for entry in found if self._is_wanted(entry, rank))
        pairs = self._with_present(wanted) if rank <= Rank.MANIFEST else ((entry, None) for entry in wanted)

        def put(pair: tuple[Entry, int | None]) -> bool:
            entry, size_bytes = pair
            if size_bytes == entry.size_bytes and (trust or digest_in(entry.key) is not None):
                return False
            self._put(entry)
            return True

        for (entry, _), is_new in map_ordered(executor, put, pairs, window=self._threads * 4):
            self._written += is_new
            self._there += not is_new
            self._size_bytes += entry.size_bytes if is_new else 0
            self._done += 1
            if self._done % _REPORT_EVERY == 0 or self._done == self._manifest.num_objects:
                self._report(Progress("restore", self._done, self._manifest.num_objects))

    def _with_present(self, entries: Iterator[Entry]) -> Iterator[tuple[Entry, int | None]]:
        """Each entry, and the size of what the store has under its key."""
        present = self._store.list("")
        following = next(present, None)
        for entry in entries:
            while following is not None and following.key < entry.key:
                following = next(present, None)
            is_there = following is not None and following.key == entry.key
            yield entry, following.size_bytes if is_there and following is not None else None

    def _put(self, entry: Entry) -> None:
        if entry.size_bytes <= _IN_MEMORY_BYTES:
            self._store.put(entry.key, fetch(self._place, entry))
            return
        path = self._scratch / uuid.uuid4().hex
        try:
            fetch_file(self._place, entry, path)
            self._store.put_file(entry.key, path)
        finally:
            path.unlink(missing_ok=True)

    def _is_wanted(self, entry: Entry, rank: Rank) -> bool:
        if rank_of(entry.key) is not rank:
            return False
        if entry.key.endswith("/index.json") and rank is Rank.MANIFEST and self._is_to_be_built(entry.key):
            return False
        if self._chosen is None or entry.key.startswith(keys.MODELS):
            return True
        if entry.key.startswith(keys.GALLERIES):
            return entry.key.split("/")[1] in self._chosen
        if entry.key.startswith(_EVALUATIONS):
            return documents.read(self._view, EvaluationDocument, entry.key).gallery in self._chosen
        return False

    def _is_to_be_built(self, key: str) -> bool:
        return is_to_be_built(self._workspace, self._view, key)

    def _build(self, names: tuple[str, ...]) -> tuple[str, ...]:
        built: list[str] = []
        for name in names:
            wanted = [
                entry.key
                for entry in self._view.entries(f"{keys.gallery_folder(name)}indexes/")
                if entry.key.endswith("/index.json") and self._is_to_be_built(entry.key)
            ]
            built += build_missing(self._workspace, self._view, name, wanted, report=self._report)
        return tuple(built)
