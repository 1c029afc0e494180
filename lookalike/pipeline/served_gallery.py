"""One state of what is live: its images, and its indexes as searches use them."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.indexes import IndexManifest, TunedParams
from lookalike.catalog.live import Live, LiveModel, live_model
from lookalike.catalog.record_table import RecordTable
from lookalike.errors import IndexNotFound
from lookalike.indexes.living import Embeddings, LivingIndex
from lookalike.indexes.port import Backend, Index
from lookalike.types.filters import Filter

_MAX_CACHED_FILTERS = 64


@dataclass(frozen=True, eq=False)
class OpenIndex:
    """One index as it was built. States that serve it share it; it is closed when none does any more."""

    index: Index
    base: Embeddings
    items_N48: NDArray[np.uint8]


@dataclass(frozen=True)
class ServedIndex:
    """One index with the adds and deletes since it was built."""

    opened: OpenIndex
    living: LivingIndex
    manifest: IndexManifest
    tuned: TunedParams | None
    filters_natively: bool  # the payloads inside it are those of the served gallery version
    backend: Backend
    sorted_ids: NDArray[np.bytes_]
    id_order: NDArray[np.int64]
    _masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def mask(self, condition: Filter, matching: Callable[[Filter], NDArray[np.bytes_]]) -> NDArray[np.bool_]:
        """Which rows satisfy ``condition``: bool over base rows, then added rows. Kept for the next search."""
        said = condition.model_dump_json(by_alias=True)
        mask = self._masks.get(said)
        if mask is None:
            mask = np.zeros(self.sorted_ids.size, dtype=bool)
            found = matching(condition)
            starts = np.searchsorted(self.sorted_ids, found, side="left")
            stops = np.searchsorted(self.sorted_ids, found, side="right")
            for shift in range(int((stops - starts).max(initial=0))):
                rows = starts + shift
                mask[self.id_order[rows[rows < stops]]] = True
            if len(self._masks) >= _MAX_CACHED_FILTERS:
                self._masks.pop(next(iter(self._masks)))
            self._masks[said] = mask
        return mask


class ServedGallery:
    """One state of one gallery; indexes are opened when first asked for and live as long as they are used."""

    def __init__(
        self, live: Live, table: RecordTable, open_index: Callable[[Live, LiveModel, str], ServedIndex]
    ) -> None:
        self.live = live
        self.table = table
        self._open_index = open_index
        self._opened: dict[tuple[str, str], ServedIndex] = {}
        self._lock = threading.Lock()
        # One for each index: who waits for a server that is down must not keep the others waiting.
        self._opening: dict[tuple[str, str], threading.Lock] = {}

    def index(self, model: str | None, backend: str) -> tuple[LiveModel, ServedIndex]:
        """The index that answers for ``model`` and ``backend``.

        Raises IndexNotFound, and what opening it raises, such as DependencyUnavailable: the next call tries again.
        """
        entry = live_model(self.live, self.live.gallery, model)
        if backend not in entry.indexes:
            raise IndexNotFound(
                f"{entry.model} has no {backend} index live in {self.live.gallery!r}; "
                f"it has: {', '.join(sorted(entry.indexes)) or 'none'}",
                gallery=self.live.gallery,
                backend=backend,
                live=sorted(entry.indexes),
            )
        pair = (entry.model, backend)
        opened = self._opened.get(pair)
        if opened is None:
            with self._lock:
                lock = self._opening.setdefault(pair, threading.Lock())
            with lock:
                opened = self._opened.get(pair)
                if opened is None:
                    opened = self._open_index(self.live, entry, backend)
                    self._opened[pair] = opened
        return entry, opened

    def with_live(self, live: Live) -> "ServedGallery":
        """The same images as another live pointer would serve them: what is not live can be measured beside it."""
        if (live.gallery, live.version_id) != (self.live.gallery, self.live.version_id):
            raise ValueError("the records are those of another gallery version")
        return ServedGallery(live, self.table, self._open_index)

    def opened(self) -> list[tuple[str, str]]:
        """The (model, backend) pairs that are open now."""
        return list(self._opened)


def default_backend(entry: LiveModel, wanted: str | None, preferred: str) -> str:
    """The backend that was asked for, else the preferred one where it is live, else the first that is."""
    if wanted is not None:
        return wanted
    if preferred in entry.indexes:
        return preferred
    if not entry.indexes:
        raise IndexNotFound(f"{entry.model} has no live index", model=entry.model)
    return min(entry.indexes)


def describe(live: Live | None) -> Mapping[str, Mapping[str, str]]:
    """Live indexes per model and backend."""
    return {} if live is None else {name: dict(entry.indexes) for name, entry in live.models.items()}
