"""Concurrent searches joined into one call of the backend.

While a call is in flight, searches that could have shared it wait; when it ends, the first of them takes all
that wait into the next call. There is no timer: a lone caller is never delayed, and the more callers there
are, the larger the calls. It pays where one call for many queries costs less than many calls (a matrix product
instead of as many passes over the embeddings: the exact backend, flat and quantised FAISS), and not where
a library searches one query after another.
"""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lookalike.indexes.port import NO_PARAMS, Index, Metric, Neighbours, Params, ParamSpec
from lookalike.types.filters import Filter

MAX_QUERIES = 64  # in one call; a search with more of its own is not joined with others


@dataclass
class _Request:
    queries_QD: NDArray[np.float32]
    k: int
    turn: threading.Event = field(default_factory=threading.Event)
    leads: bool = False  # on its turn: makes the call for itself and others
    found: Neighbours | None = None  # on its turn, unless it leads: None when the shared call failed


@dataclass
class _Group:
    """Searches that may share a call: the same but for their queries, and nearly the same k."""

    k: int
    allowed_N: NDArray[np.bool_] | None  # held, so that its id stays its own
    native_filter: Filter | None
    params: Params
    waiting: deque[_Request] = field(default_factory=deque)


class BatchingIndex:
    """An index whose concurrent searches are joined; every answer is what the search alone would have got.

    Searches share a call when they have the same parameters and filter, the very same ``allowed_N`` object
    (which must not change while it is searched with) and a ``k`` that rounds up to the same figure: ``k`` is
    always rounded up and the answer cut, so that it does not depend on who else asks. A shared call that fails
    is repeated for each caller alone: an exception reaches only those who cause it.

    Args:
        index: safe to search from several threads; closed with this one.
        on_batch: called after each shared call with the number of searches in it, for metrics; must not block.
    """

    def __init__(self, index: Index, on_batch: Callable[[int], None] | None = None) -> None:
        self._index = index
        self._on_batch = on_batch
        self._lock = threading.Lock()
        self._in_flight: dict[Hashable, _Group] = {}

    @property
    def metric(self) -> Metric:
        """See the port."""
        return self._index.metric

    @property
    def num_embeddings(self) -> int:
        """See the port."""
        return self._index.num_embeddings

    @property
    def dimension(self) -> int:
        """See the port."""
        return self._index.dimension

    @property
    def search_params(self) -> Mapping[str, ParamSpec]:
        """See the port."""
        return self._index.search_params

    def search(
        self,
        queries_QD: NDArray[np.float32],
        k: int,
        *,
        allowed_N: NDArray[np.bool_] | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        """See the port."""
        rounded = rounded_up(k)
        group = _Group(rounded, allowed_N, native_filter, params)
        if len(queries_QD) > MAX_QUERIES or queries_QD.shape[1:] != (self.dimension,):
            return _cut(self._call(queries_QD, group), k)
        key = (rounded, id(allowed_N), _filter_key(native_filter), tuple(sorted(params.items())))
        request = _Request(queries_QD, k)
        with self._lock:
            running = self._in_flight.get(key)
            if running is None:
                self._in_flight[key] = group
            else:
                running.waiting.append(request)
        if running is None:
            return self._lead(key, group, [request])
        request.turn.wait()
        if request.leads:
            return self._lead(key, running, [request, *self._joined(running, request)])
        if request.found is None:
            return _cut(self._call(queries_QD, running), k)
        return request.found

    def close(self) -> None:
        """Closes the index."""
        self._index.close()

    def _joined(self, group: _Group, leader: _Request) -> list[_Request]:
        """Takes the searches that wait, in their order, as far as one call has room for them."""
        joined: list[_Request] = []
        room = MAX_QUERIES - len(leader.queries_QD)
        with self._lock:
            while group.waiting and len(group.waiting[0].queries_QD) <= room:
                joined.append(group.waiting.popleft())
                room -= len(joined[-1].queries_QD)
        return joined

    def _lead(self, key: Hashable, group: _Group, requests: list[_Request]) -> Neighbours:
        leader, followers = requests[0], requests[1:]
        failed = False
        try:
            queries = [request.queries_QD for request in requests]
            shared = self._call(queries[0] if len(queries) == 1 else np.concatenate(queries), group)
            start = 0
            for request in requests:
                part = slice(start, start + len(request.queries_QD))
                request.found = _cut(Neighbours(shared.rows_QK[part], shared.distances_QK[part]), request.k)
                start = part.stop
            if self._on_batch is not None:
                self._on_batch(len(requests))
        except Exception:
            # Whose fault it is shows when each asks alone; without followers it can only be the leader's.
            if not followers:
                raise
            failed = True
        finally:
            self._pass_on(key, group)
            for request in followers:
                request.turn.set()
        if failed or leader.found is None:
            return _cut(self._call(leader.queries_QD, group), leader.k)
        return leader.found

    def _pass_on(self, key: Hashable, group: _Group) -> None:
        """Makes the first that waits the next leader, before anyone is answered: its call starts at once."""
        with self._lock:
            if not group.waiting:
                del self._in_flight[key]
                return
            following = group.waiting.popleft()
        following.leads = True
        following.turn.set()

    def _call(self, queries_QD: NDArray[np.float32], group: _Group) -> Neighbours:
        return self._index.search(
            queries_QD, group.k, allowed_N=group.allowed_N, native_filter=group.native_filter, params=group.params
        )


def rounded_up(k: int) -> int:
    """``k`` up to a multiple of 16, or of an eighth of its power of two: few distinct values, at most 1/8 more."""
    step = max(16, (1 << (k.bit_length() - 1)) // 8)
    return -(-k // step) * step


def _filter_key(native_filter: Filter | None) -> str | None:
    # Filters hold lists, which have no hash.
    return None if native_filter is None else native_filter.model_dump_json(by_alias=True)


def _cut(found: Neighbours, k: int) -> Neighbours:
    return Neighbours(found.rows_QK[:, :k], found.distances_QK[:, :k])
