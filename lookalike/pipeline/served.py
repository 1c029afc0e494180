"""What is live, opened for searching, and swapped when the pointer moves."""

import logging
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets, contains, kept_rows
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.indexes import Indexes, IndexManifest
from lookalike.catalog.live import Live, LiveModel, LivePointers
from lookalike.catalog.local_artifacts import LocalArtifacts, SetMatrix
from lookalike.catalog.record_table import RecordTable
from lookalike.errors import DependencyUnavailable, LookalikeError
from lookalike.indexes.batching import BatchingIndex
from lookalike.indexes.living import Embeddings, LivingIndex
from lookalike.indexes.port import Backend
from lookalike.pipeline.looking import Looker, within
from lookalike.pipeline.served_gallery import OpenIndex, ServedGallery, ServedIndex
from lookalike.storage.port import ObjectStore
from lookalike.telemetry.declared import LIVE_SWITCHES
from lookalike.telemetry.metrics import PROCESS
from lookalike.types.ids import as_keys

_SELDOM = 5  # times poll_s without a look: nobody else searches, so that whoever comes next looks for itself
_PATIENCE_S = 1.0  # of a search that waits for a look: a store that is away would keep it for half a minute

_log = logging.getLogger(__name__)


class Serving:
    """The galleries that this process serves.

    The live pointer is looked at when a search comes and the last look is older than ``poll_s`` seconds, in a thread
    of its own: a new state is opened beside the old one, from which searches are answered until then. Only where the
    last look is many times as old, because nobody searched, the search waits for what is live now, and not for long.
    """

    def __init__(
        self,
        store: ObjectStore,
        galleries: Galleries,
        sets: EmbeddingSets,
        indexes: Indexes,
        pointers: LivePointers,
        artifacts: LocalArtifacts,
        backend: Callable[[str], Backend],
        *,
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._galleries = galleries
        self._sets = sets
        self._indexes = indexes
        self._pointers = pointers
        self._artifacts = artifacts
        self._backend = backend
        self._poll_s = poll_s
        self._clock = clock
        self._states: dict[str, tuple[str | None, float, ServedGallery]] = {}
        self._tables: dict[str, RecordTable] = {}
        self._followed: dict[str, str] = {}  # the version that the table is to hold
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}
        self._lookers: dict[str, Looker] = {}
        self._open_indexes: weakref.WeakValueDictionary[tuple[str, str], OpenIndex] = weakref.WeakValueDictionary()
        # Told after each call of a joined backend how many searches were in it: for metrics.
        self.on_joined: Callable[[int], None] = lambda number: None
        # Told of another default model before searches get it, in the thread that opens it: to load its embedder.
        self.on_default: Callable[[str], object] = lambda model: None

    def gallery(self, name: str) -> ServedGallery:
        """The present state; while the store is away, the last one. Raises GalleryNotFound."""
        state = self._states.get(name)
        if state is None:
            return self.refresh(name)
        age_s = self._clock() - state[1]
        if age_s < self._poll_s or self._lock_of(name).locked():
            return state[2]  # fresh, or somebody is at it: answer from what is there
        if age_s > _SELDOM * self._poll_s:
            return within(_PATIENCE_S, partial(self._look_if_due, name), state[2])
        self._looker_of(name).ask()
        return state[2]

    def refresh(self, name: str) -> ServedGallery:
        """The present state after looking at the pointer again, whenever the last look was."""
        with self._lock_of(name):
            return self._look(name)

    def names(self) -> list[str]:
        """The galleries that are open now, in alphabetical order."""
        return sorted(self._states)

    def notice(self, name: str) -> None:
        """What is live has changed: :meth:`refresh` where this process serves the gallery, else nothing."""
        if name in self._states:
            self.refresh(name)

    def forget(self, name: str) -> None:
        """Drops what is open of a gallery that no longer exists."""
        self._states.pop(name, None)
        table = self._tables.pop(name, None)
        if table is not None:
            table.delete()

    def close(self) -> None:
        for looker in self._lookers.values():
            looker.stop()
        for table in self._tables.values():
            table.close()
        self._tables.clear()
        self._states.clear()

    def _lock_of(self, name: str) -> threading.Lock:
        with self._lock:
            return self._loading.setdefault(name, threading.Lock())

    def _looker_of(self, name: str) -> Looker:
        with self._lock:
            if name not in self._lookers:
                self._lookers[name] = Looker(partial(_try, name, partial(self._look_if_due, name)), name=f"look {name}")
            return self._lookers[name]

    def _look_if_due(self, name: str) -> ServedGallery:
        with self._lock_of(name):
            state = self._states.get(name)
            if state is None:
                return self._look(name)
            if self._clock() - state[1] < self._poll_s:
                return state[2]
            try:
                return self._look(name)
            except DependencyUnavailable as error:
                _log.warning("%s is served as it was: %s", name, error.message)
                self._states[name] = (state[0], self._clock(), state[2])
                return state[2]

    def _look(self, name: str) -> ServedGallery:
        etag = self._pointers.etag(name)
        state = self._states.get(name)
        if state is not None and state[0] == etag and etag is not None:
            self._holding(state[2].live)
            self._states[name] = (etag, self._clock(), state[2])
            return state[2]
        live = self._pointers.get(name)
        if live is None:
            self._states.pop(name, None)
            live = Live(gallery=name, version_id=self._galleries.get(name).version_id)
        served = ServedGallery(live, self._holding(live), self._open)
        if state is not None:
            self._open_early(state[2], served)
            if state[0] != etag:  # it is None for each look while nothing is live
                PROCESS.count(LIVE_SWITCHES, gallery=name)
        self._states[name] = (etag, self._clock(), served)
        return served

    def _holding(self, live: Live) -> RecordTable:
        """The record table, made to hold the served version: other processes with this cache folder use it, too."""
        table = self._tables.get(live.gallery)
        if table is None:
            table = RecordTable(self._artifacts.file("records", f"{live.gallery}.sqlite"), self._store)
            self._tables[live.gallery] = table
        self._followed[live.gallery] = live.version_id
        if table.version_id != live.version_id:
            table.follow(self._galleries.version(live.gallery, live.version_id))
        return table

    def _items(self, live: Live) -> NDArray[np.bytes_]:
        """What is served now, sorted, and no other version that another process made the table hold meanwhile.

        For a search that began before that, whatever the table holds: it must not take it back.
        """
        table = self._tables[live.gallery]
        while True:
            items = np.sort(as_keys(table.items()))
            if table.version_id == live.version_id or self._followed[live.gallery] != live.version_id:
                return items
            self._holding(live)

    def _open_early(self, former: ServedGallery, served: ServedGallery) -> None:
        """Opens what was in use before the new state is: the swap costs no search its time.

        What cannot be opened is left to the searches of it: the others have their new state all the same.
        """
        live, was = served.live, former.live.default_model
        used = former.opened()
        if live.default_model is not None and live.default_model != was:
            used += [(live.default_model, backend) for model, backend in used if model == was]
            _try(live.default_model, partial(self.on_default, live.default_model))
        for model, backend in dict.fromkeys(used):
            if model in live.models and backend in live.models[model].indexes:
                _try(f"{live.gallery}/{model}/{backend}", partial(served.index, model, backend))

    def _open(self, live: Live, entry: LiveModel, backend_name: str) -> ServedIndex:
        manifest = self._indexes.get(live.gallery, entry.indexes[backend_name])
        base_set = self._sets.get(live.gallery, manifest.set_id)
        backend = self._backend(backend_name)
        opened = self._shared(manifest, base_set, backend)
        served_items = self._items(live)
        alive = contains(served_items, opened.items_N48) if len(opened.items_N48) else None
        delta = self._added(base_set, entry, served_items)
        living = LivingIndex(opened.index, opened.base, delta, None if alive is None or alive.all() else alive)
        all_ids = as_keys(np.concatenate([opened.base.ids_N16, delta.ids_N16]))
        order = np.argsort(all_ids, kind="stable")
        return ServedIndex(
            opened=opened,
            living=living,
            manifest=manifest,
            tuned=self._indexes.tuned(live.gallery, manifest.index_id),
            filters_natively=backend.capabilities.filters_natively and manifest.version_id == live.version_id,
            backend=backend,
            sorted_ids=all_ids[order],
            id_order=order,
        )

    def _shared(self, manifest: IndexManifest, base: EmbeddingSet, backend: Backend) -> OpenIndex:
        """The index, opened unless a state has it open: opening and closing again may hold up every search."""
        key = (manifest.gallery, manifest.index_id)
        found = self._open_indexes.get(key)
        if found is None:
            matrix = self._artifacts.matrix(base)
            ids_N16 = matrix.ids_N16
            index = backend.open(self._artifacts.index_folder(manifest), matrix.embeddings_ND, ids_N16)
            joining = BatchingIndex(index, lambda number: self.on_joined(number))
            found = OpenIndex(
                joining if backend.capabilities.joins_queries else index,
                Embeddings(matrix.embeddings_ND, ids_N16),
                matrix.items_N48,
            )
            weakref.finalize(found, index.close)
            self._open_indexes[key] = found
        return found

    def _added(self, base: EmbeddingSet, entry: LiveModel, served_items: NDArray[np.bytes_]) -> Embeddings:
        """What the newest set has beyond ``base`` and the served version still holds."""
        embeddings = [np.zeros((0, base.dimension), np.float32)]
        items = [np.zeros((0, 48), np.uint8)]
        if entry.newest != base.set_id:
            newest = self._sets.get(base.gallery, entry.newest)
            in_base = {part.part_id: kept_rows(part) for part in base.parts}
            for part in newest.parts:
                rows = np.setdiff1d(kept_rows(part), in_base.get(part.part_id, np.zeros(0, np.int64)))
                if rows.size:
                    loaded = self._sets.read_part(base.gallery, base.model_digest, part.part_id)
                    rows = rows[contains(served_items, loaded.items_N48[rows])]
                    embeddings.append(loaded.embeddings_ND[rows])
                    items.append(loaded.items_N48[rows])
        joined = SetMatrix(np.concatenate(embeddings), np.concatenate(items))
        return Embeddings(joined.embeddings_ND, joined.ids_N16)


def _try(what: str, step: Callable[[], object]) -> None:
    try:
        step()
    except LookalikeError as error:
        _log.warning("%s cannot be opened: %s", what, error.message)
