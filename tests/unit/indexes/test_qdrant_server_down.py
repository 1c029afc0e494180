"""A Qdrant server that is down, comes back, or says nothing: what searches are told, and how soon."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.qdrant_grpc import QdrantGrpcDouble
from doubles.qdrant_rest import QdrantDouble
from qdrant_small import build, finds_itself, source

from lookalike.errors import DependencyUnavailable
from lookalike.indexes.qdrant_server import QdrantServerBackend
from lookalike.indexes.qdrant_server_options import ServerOptions

WHAT = source(20)
QUERY_1D = WHAT.embeddings_ND[:1]


@pytest.fixture
def double() -> Iterator[QdrantDouble]:
    with QdrantDouble() as started:
        yield started


def test_searches_fail_while_it_is_down_and_work_again_when_it_is_back(double: QdrantDouble, tmp_path: Path) -> None:
    backend = QdrantServerBackend(double.url)
    build(backend, tmp_path / "index", WHAT)
    index = backend.open(tmp_path / "index", WHAT.embeddings_ND, WHAT.ids_N16)
    assert index.search(QUERY_1D, 1).rows_QK.tolist() == [[0]]
    double.stop()
    for _ in range(3):
        with pytest.raises(DependencyUnavailable, match=r"Qdrant server at 127\.0\.0\.1:[0-9]+ does not answer"):
            index.search(QUERY_1D, 1)
    with pytest.raises(DependencyUnavailable):
        backend.open(tmp_path / "index", WHAT.embeddings_ND, WHAT.ids_N16)
    double.start()
    assert index.search(QUERY_1D, 1).rows_QK.tolist() == [[0]]
    assert finds_itself(backend, tmp_path / "index", WHAT)


def test_so_it_is_by_grpc(double: QdrantDouble, tmp_path: Path) -> None:
    with QdrantGrpcDouble(double.points) as grpc_double:
        backend = QdrantServerBackend(double.url, ServerOptions(grpc_port=grpc_double.port))
        build(backend, tmp_path / "index", WHAT)
        index = backend.open(tmp_path / "index", WHAT.embeddings_ND, WHAT.ids_N16)
        assert index.search(QUERY_1D, 1).rows_QK.tolist() == [[0]]
        assert set(grpc_double.calls) == {"Upsert", "QueryBatch"}
        assert not any(path.endswith(("/points", "/query/batch")) for _, path in double.requests)
        grpc_double.stop()
        with pytest.raises(DependencyUnavailable, match="does not answer: UNAVAILABLE"):
            index.search(QUERY_1D, 1)
        grpc_double.start()
        assert _found_again(index)


def _found_again(index: object) -> bool:
    """A gRPC channel connects again within a second or so of its own."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            return bool(index.search(QUERY_1D, 1).rows_QK.tolist() == [[0]])
        except DependencyUnavailable:
            time.sleep(0.05)
    return False


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_key_goes_along_by_grpc_and_into_no_message(double: QdrantDouble, tmp_path: Path) -> None:
    with QdrantGrpcDouble(double.points) as grpc_double:
        options = ServerOptions(api_key="s3cret-key", grpc_port=grpc_double.port)
        assert "s3cret" not in repr(options)
        backend = QdrantServerBackend(double.url, options)
        build(backend, tmp_path / "index", WHAT)
        index = backend.open(tmp_path / "index", WHAT.embeddings_ND, WHAT.ids_N16)
        assert set(grpc_double.api_keys) == {"s3cret-key"}
    with pytest.raises(DependencyUnavailable) as refused:
        index.search(QUERY_1D, 1)
    assert "s3cret" not in f"{refused.value} {refused.value.details} {refused.value.__cause__}"


def test_of_a_server_that_says_nothing_one_search_at_a_time_waits(double: QdrantDouble, tmp_path: Path) -> None:
    """And no longer than its timeout. The others are told at once, until one has got an answer."""
    build(QdrantServerBackend(double.url), tmp_path / "index", WHAT)
    backend = QdrantServerBackend(double.url, ServerOptions(timeout_s=1))
    index = backend.open(tmp_path / "index", WHAT.embeddings_ND, WHAT.ids_N16)
    answers, asked = threading.Event(), threading.Event()

    def stall(method: str, path: str) -> None:
        asked.set()
        answers.wait(60)

    def fails() -> None:
        with pytest.raises(DependencyUnavailable, match="does not answer: ReadTimeout"):
            index.search(QUERY_1D, 1)

    double.fault = stall
    started = time.monotonic()
    fails()
    assert time.monotonic() - started < 30  # and not for the 60 s that the server takes
    asked.clear()
    waiting = threading.Thread(target=fails)
    waiting.start()
    assert asked.wait(30)
    number = len(double.requests)
    for _ in range(20):
        fails()
    # All of them together took less than the one second that each would have waited, or another one had its turn.
    assert len(double.requests) - number <= 1
    waiting.join()
    double.fault = lambda method, path: None
    answers.set()
    assert index.search(QUERY_1D, 1).rows_QK.tolist() == [[0]]


def test_a_search_is_not_repeated_when_the_server_fails(double: QdrantDouble, tmp_path: Path) -> None:
    waits: list[float] = []
    backend = QdrantServerBackend(double.url, sleep=waits.append)
    build(backend, tmp_path / "index", WHAT)
    index = backend.open(tmp_path / "index", WHAT.embeddings_ND, WHAT.ids_N16)
    double.fault = lambda method, path: 503
    number = len(double.requests)
    with pytest.raises(DependencyUnavailable, match="answers 503"):
        index.search(QUERY_1D, 1)
    assert len(double.requests) == number + 1
    assert waits == []
