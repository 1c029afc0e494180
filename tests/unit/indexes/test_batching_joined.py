"""Joined searches answer as searches alone, whoever asks beside them and whatever goes wrong."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import InvalidRequest
from lookalike.indexes.batching import MAX_QUERIES, BatchingIndex, rounded_up
from lookalike.indexes.port import NO_PARAMS, Metric, Neighbours, Params
from lookalike.types.filters import Filter, parse_filter

TIMEOUT_S = 30
NUM_ROWS = 500


class Scan:
    """Exact search by a fixed sum, so that answers are bit-equal however queries come together."""

    metric = Metric("inner_product")
    num_embeddings = NUM_ROWS
    dimension = 4

    def __init__(self) -> None:
        self.embeddings_ND = np.random.default_rng(0).standard_normal((NUM_ROWS, 4)).astype(np.float32)
        self.sizes: list[int] = []
        self.closed = False

    def search(
        self,
        queries_QD: np.ndarray,
        k: int,
        *,
        allowed_N: np.ndarray | None = None,
        native_filter: Filter | None = None,
        params: Params = NO_PARAMS,
    ) -> Neighbours:
        self.sizes.append(len(queries_QD))
        if (queries_QD[:, 0] == 666).any():
            raise InvalidRequest("no such query")
        distances = -np.vecdot(queries_QD[:, None], self.embeddings_ND[None]) * np.float32(params.get("factor", 1))
        if allowed_N is not None:
            distances[:, ~allowed_N] = np.inf
        rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
        nearest = np.take_along_axis(distances, rows, axis=1)
        return Neighbours(np.where(nearest < np.inf, rows, -1), nearest)

    def close(self) -> None:
        self.closed = True


class Gated(Scan):
    """Its first call ends when told."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def search(self, queries_QD: np.ndarray, k: int, **how: object) -> Neighbours:
        if not self.entered.is_set():
            self.entered.set()
            assert self.go_on.wait(TIMEOUT_S)
        return super().search(queries_QD, k, **how)  # type: ignore[arg-type]


def until_waiting(batching: BatchingIndex, count: int) -> None:
    """Returns when so many searches wait: watched, since nothing tells that a thread is about to sleep."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while sum(len(group.waiting) for group in batching._in_flight.values()) < count:
        assert time.monotonic() < deadline_s
        time.sleep(0)  # lets the other threads run


def query(value: float) -> np.ndarray:
    return np.array([[value, 1, 0.5, -1]], np.float32)


def assert_same(found: Neighbours, alone: Neighbours) -> None:
    assert (found.rows_QK == alone.rows_QK).all()
    assert (found.distances_QK == alone.distances_QK).all()
    assert found.rows_QK.shape == alone.rows_QK.shape


def test_searches_that_wait_become_one_call() -> None:
    index = Gated()
    sizes: list[int] = []
    batching = BatchingIndex(index, sizes.append)
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(batching.search, query(0), 3)
        assert index.entered.wait(TIMEOUT_S)
        others = []
        for number in range(1, 11):
            others.append(pool.submit(batching.search, query(number), 1 + number % 3))
            until_waiting(batching, number)
        index.go_on.set()
        assert_same(first.result(TIMEOUT_S), Scan().search(query(0), 3))
        for number, other in enumerate(others, start=1):
            assert_same(other.result(TIMEOUT_S), Scan().search(query(number), 1 + number % 3))
    assert index.sizes == sizes == [1, 10]
    assert batching._in_flight == {}


def test_an_exception_reaches_only_who_causes_it() -> None:
    index = Gated()
    batching = BatchingIndex(index)
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(batching.search, query(0), 3)
        assert index.entered.wait(TIMEOUT_S)
        values = [1, 666, 2, 666, 3]
        others = []
        for count, value in enumerate(values, start=1):
            others.append(pool.submit(batching.search, query(value), 3))
            until_waiting(batching, count)
        index.go_on.set()
        first.result(TIMEOUT_S)
        for value, other in zip(values, others, strict=True):
            if value == 666:
                with pytest.raises(InvalidRequest):
                    other.result(TIMEOUT_S)
            else:
                assert_same(other.result(TIMEOUT_S), Scan().search(query(value), 3))
    assert batching._in_flight == {}


def test_a_failing_leader_leaves_nobody_waiting() -> None:
    index = Gated()
    batching = BatchingIndex(index)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batching.search, query(666), 3)
        assert index.entered.wait(TIMEOUT_S)
        second = pool.submit(batching.search, query(1), 3)
        until_waiting(batching, 1)
        index.go_on.set()
        with pytest.raises(InvalidRequest):
            first.result(TIMEOUT_S)
        assert_same(second.result(TIMEOUT_S), Scan().search(query(1), 3))


def test_different_searches_do_not_wait_for_each_other() -> None:
    """While one call is held, each search that differs in anything but its query goes through."""
    index = Gated()
    batching = BatchingIndex(index)
    mask = np.arange(NUM_ROWS) % 2 == 0
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(batching.search, query(0), 3)
        assert index.entered.wait(TIMEOUT_S)
        batching.search(query(1), 100)
        found = batching.search(query(1), 3, allowed_N=mask)
        assert (found.rows_QK % 2 == 0).all()
        batching.search(query(1), 3, native_filter=parse_filter({"field": "label", "equals": "dog"}))
        batching.search(query(1), 3, params={"factor": 2})
        batching.search(np.ones((MAX_QUERIES + 1, 4), np.float32), 3)
        assert not held.done()
        index.go_on.set()
        held.result(TIMEOUT_S)


def test_a_call_takes_no_more_queries_than_it_may() -> None:
    index = Gated()
    batching = BatchingIndex(index)
    many = np.ones((MAX_QUERIES // 2, 4), np.float32)
    with ThreadPoolExecutor(6) as pool:
        searches = [pool.submit(batching.search, many, 3)]
        assert index.entered.wait(TIMEOUT_S)
        for count in range(1, 6):
            searches.append(pool.submit(batching.search, many, 3))
            until_waiting(batching, count)
        index.go_on.set()
        for search in searches:
            assert search.result(TIMEOUT_S).rows_QK.shape == (len(many), 3)
    assert index.sizes[:3] == [32, 64, 64]
    assert sum(index.sizes) == 6 * len(many)


def test_sixteen_threads_get_what_each_would_alone() -> None:
    index, alone = Scan(), Scan()
    batching = BatchingIndex(index)
    masks = [None, np.arange(NUM_ROWS) % 3 == 0, np.zeros(NUM_ROWS, bool)]

    def ask(thread: int) -> None:
        rng = np.random.default_rng(thread)
        for _ in range(60):
            queries = rng.standard_normal((int(rng.integers(1, 4)), 4)).astype(np.float32)
            if rng.random() < 0.05:
                queries[0, 0] = 666
            k = int(rng.integers(1, 40))
            how = {"allowed_N": masks[rng.integers(3)], "params": {"factor": int(rng.integers(1, 3))}}
            if (queries[:, 0] == 666).any():
                with pytest.raises(InvalidRequest):
                    batching.search(queries, k, **how)
            else:
                assert_same(batching.search(queries, k, **how), alone.search(queries, k, **how))

    with ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(ask, thread) for thread in range(16)]:
            done.result(TIMEOUT_S)
    assert batching._in_flight == {}


def test_a_query_of_another_dimension_is_the_index_s_to_refuse() -> None:
    with pytest.raises(ValueError, match="mismatch"):
        BatchingIndex(Scan()).search(np.ones((1, 5), np.float32), 3)


@given(st.integers(1, 10**9))
def test_k_is_rounded_up_by_little_and_to_few_values(k: int) -> None:
    rounded = rounded_up(k)
    assert k <= rounded <= max(16, k + 16, k * 9 / 8)
    assert rounded_up(rounded) == rounded


def test_it_is_the_index_it_wraps() -> None:
    index = Scan()
    batching = BatchingIndex(index)
    assert (batching.metric, batching.num_embeddings, batching.dimension) == (index.metric, NUM_ROWS, 4)
    batching.close()
    assert index.closed
