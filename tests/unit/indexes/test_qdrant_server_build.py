"""Builds on a Qdrant server, here a test double that speaks its REST routes: faults, interruptions, races."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.qdrant_rest import DROPPED, QdrantDouble
from qdrant_small import build, finds_itself, source

from lookalike.errors import DamagedArtifact, DependencyUnavailable
from lookalike.indexes import qdrant_server_upload
from lookalike.indexes.qdrant_server import QdrantServerBackend
from lookalike.indexes.qdrant_server_options import Placement, ServerOptions

PROCESS = Path(__file__).with_name("qdrant_building_process.py")


@pytest.fixture
def double() -> Iterator[QdrantDouble]:
    with QdrantDouble() as started:
        yield started


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows or so in a request."""
    monkeypatch.setattr(qdrant_server_upload, "_BATCH_BYTES", 2500)


def is_upsert(method: str, path: str) -> bool:
    return method == "PUT" and path.endswith("/points")


def first(number: int, status: int):
    """A fault of the first ``number`` upserts."""
    left = [status] * number
    lock = threading.Lock()

    def fault(method: str, path: str) -> int | None:
        with lock:
            return left.pop() if left and is_upsert(method, path) else None

    return fault


@pytest.mark.parametrize("status", [500, 502, 503, 429, DROPPED])
def test_what_can_pass_is_tried_again_after_growing_waits(double: QdrantDouble, tmp_path: Path, status: int) -> None:
    waits: list[float] = []
    backend, what = QdrantServerBackend(double.url, sleep=waits.append), source(20)
    double.fault = first(3, status)
    build(backend, tmp_path / "index", what)
    assert finds_itself(backend, tmp_path / "index", what)
    assert len(waits) == 3
    for wait, longest in zip(waits, (0.5, 1.0, 2.0), strict=True):
        assert longest / 2 <= wait <= longest


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_what_cannot_pass_is_not_tried_again(double: QdrantDouble, tmp_path: Path, status: int) -> None:
    waits: list[float] = []
    double.fault = lambda method, path: status if is_upsert(method, path) else None
    with pytest.raises((DependencyUnavailable, DamagedArtifact)):
        build(QdrantServerBackend(double.url, sleep=waits.append), tmp_path / "index", source(20))
    assert waits == []
    assert sum(is_upsert(*request) for request in double.requests) == 1
    assert not list((tmp_path / "index").iterdir())


def test_a_server_that_goes_away_in_the_middle_is_waited_for(
    double: QdrantDouble, tmp_path: Path, small_batches: None
) -> None:
    """It ends at the third upsert and comes back on its port, with what it had, after half a minute."""
    waited_s: Counter[int] = Counter()  # of each thread
    upserts = 0
    is_back = False
    lock = threading.Lock()

    def dies_at_the_third(method: str, path: str) -> int | None:
        nonlocal upserts
        with lock:
            upserts += is_upsert(method, path)
            if upserts == 3 and not waited_s:
                double.stop()
                return DROPPED
        return None

    def sleep(seconds: float) -> None:
        nonlocal is_back
        with lock:
            waited_s[threading.get_ident()] += seconds
            if max(waited_s.values()) >= 30 and not is_back:
                is_back = True
                double.start()

    double.fault = dies_at_the_third
    backend, what = QdrantServerBackend(double.url, sleep=sleep), source(100)
    build(backend, tmp_path / "index", what)
    assert is_back
    assert finds_itself(backend, tmp_path / "index", what)


def test_a_server_that_is_down_from_the_start_is_said_at_once(tmp_path: Path) -> None:
    double = QdrantDouble()
    double.start()
    double.stop()
    waits: list[float] = []
    with pytest.raises(DependencyUnavailable, match="does not answer") as refused:
        build(QdrantServerBackend(double.url, sleep=waits.append), tmp_path / "index", source(5))
    assert refused.value.details["dependency"] == "qdrant"
    assert waits == []


def test_an_interrupted_build_is_completed_with_what_is_missing(
    double: QdrantDouble, tmp_path: Path, small_batches: None
) -> None:
    what = source(100)
    backend = QdrantServerBackend(double.url, sleep=lambda seconds: None)
    allowed = [None] * 4

    def ends(method: str, path: str) -> int | None:
        if is_upsert(method, path):
            return allowed.pop() if allowed else 400
        return None

    double.fault = ends
    with pytest.raises(DependencyUnavailable):
        build(backend, tmp_path / "one", what)
    [collection] = double.points.collections.values()
    there = len(collection.rows)
    assert 0 < there < 100
    double.fault = lambda method, path: None
    build(backend, tmp_path / "two", what)
    assert double.points.collections == {next(iter(double.points.collections)): collection}  # the same one
    assert collection.writes == 100  # nothing was written twice
    assert finds_itself(backend, tmp_path / "two", what)


def test_a_build_that_was_killed_is_completed_by_another_process(double: QdrantDouble, tmp_path: Path) -> None:
    """SIGKILL when a third of it is there, then the same command again."""
    command = [sys.executable, str(PROCESS), double.url]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes: list[subprocess.Popen[bytes]] = []

    def kills(method: str, path: str) -> int | None:
        collections = list(double.points.collections.values())
        if is_upsert(method, path) and collections[0].writes >= 60:
            processes[0].kill()
            processes[0].wait()
            return DROPPED
        return None

    double.fault = kills
    processes.append(subprocess.Popen([*command, str(tmp_path / "one")], env=environment))
    assert processes[0].wait(120) == -signal.SIGKILL
    assert not list((tmp_path / "one").iterdir())
    [collection] = double.points.collections.values()
    assert 60 <= len(collection.rows) < 200
    double.fault = lambda method, path: None
    subprocess.run([*command, str(tmp_path / "two")], env=environment, check=True, timeout=120)
    [completed] = double.points.collections.values()
    assert completed is collection
    assert collection.writes == 200
    assert finds_itself(QdrantServerBackend(double.url), tmp_path / "two", source(200))


def test_builds_of_the_same_at_once_make_one_collection(
    double: QdrantDouble, tmp_path: Path, small_batches: None
) -> None:
    what = source(100)
    meet = threading.Barrier(2)
    names: list[str] = []

    def together(method: str, path: str) -> None:
        if method == "PUT" and path.count("/") == 2:  # both want to create it
            meet.wait(30)

    def go(number: int) -> None:
        names.append(build(QdrantServerBackend(double.url), tmp_path / str(number), what))

    double.fault = together
    threads = [threading.Thread(target=go, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == [names[0]] * 2
    assert list(double.points.collections) == [names[0]]
    for number in range(2):
        assert finds_itself(QdrantServerBackend(double.url), tmp_path / str(number), what)


def test_batches_hold_every_row_once_and_no_more_bytes_than_they_may(
    double: QdrantDouble, tmp_path: Path, small_batches: None
) -> None:
    what = source(257)
    build(QdrantServerBackend(double.url), tmp_path / "index", what)
    upserts = [size for request, size in zip(double.requests, double.bodies, strict=True) if is_upsert(*request)]
    assert len(upserts) > 10
    assert max(upserts) < 4000  # the estimate, and some punctuation
    [collection] = double.points.collections.values()
    assert collection.writes == 257
    # In the order in which they arrived: several batches are under way at once.
    payloads = sorted(collection.payloads, key=lambda payload: int(str(payload["key"])))
    assert payloads == [{"key": str(row), "number": {"row": row}} for row in range(257)]


def test_only_a_few_batches_are_under_way_at_once(double: QdrantDouble, tmp_path: Path, small_batches: None) -> None:
    """Upserts that take their time hold up the reading of records, so memory holds a few batches of any set."""
    what = source(400)
    passes = 0
    read = 0
    ahead: list[int] = []
    lock = threading.Lock()

    def records():
        nonlocal passes, read
        passes += 1
        read = 0
        for record in what.records():
            read += 1
            yield record

    def look(method: str, path: str) -> None:
        if is_upsert(method, path):
            with lock:
                [collection] = double.points.collections.values()
                ahead.append(read - len(collection.rows))

    double.fault = look
    given = type(what)(what.embeddings_ND, what.ids_N16, records)
    build(QdrantServerBackend(double.url), tmp_path / "index", given)
    assert passes == 2  # once for the name
    per_batch = 400 / len(ahead)
    assert max(ahead) <= 7 * per_batch


def test_where_things_are_put_is_the_settings_and_not_the_name_s(double: QdrantDouble, tmp_path: Path) -> None:
    placement = Placement(
        on_disk=True, on_disk_payload=True, shard_number=3, replication_factor=2, write_consistency_factor=2
    )
    name = build(
        QdrantServerBackend(double.url, ServerOptions(placement=placement)),
        tmp_path / "one",
        source(5),
        quantization="scalar",
    )
    config = double.points.collections[name].config
    assert config["vectors"] == {"size": 8, "distance": "Cosine", "on_disk": True}
    wanted = {"on_disk_payload": True, "shard_number": 3, "replication_factor": 2, "write_consistency_factor": 2}
    assert {said: config[said] for said in wanted} == wanted
    assert config["quantization_config"] == {"scalar": {"type": "int8", "always_ram": True}}
    assert build(QdrantServerBackend(double.url), tmp_path / "two", source(5), quantization="scalar") == name
    double.points.delete_collection(name)
    build(QdrantServerBackend(double.url), tmp_path / "three", source(5), quantization="scalar")
    assert not wanted.keys() & double.points.collections[name].config.keys()  # the server's own defaults


def test_filtered_fields_have_their_indexes_in_a_collection_that_is_worth_them(
    double: QdrantDouble, tmp_path: Path
) -> None:
    few, many = (build(QdrantServerBackend(double.url), tmp_path / str(n), source(n, 2)) for n in (100, 2000))
    assert double.points.collections[few].schema == {}
    assert double.points.collections[many].schema == {"key": "keyword", "number.row": "float"}


def test_a_build_and_a_promotion_wait_for_green(tmp_path: Path) -> None:
    with QdrantDouble(indexing_s=0.3) as double:
        backend = QdrantServerBackend(double.url)
        name = build(backend, tmp_path / "index", source(5))
        assert double.points.info(name)["status"] == "green"
        assert double.points.collections[name].indexing_threshold > 0
        double.points.collections[name].green_at += 0.5  # optimizing again
        assert double.points.info(name)["status"] == "yellow"
        backend.await_ready(name)
        assert double.points.info(name)["status"] == "green"
        number = len(double.requests)
        backend.await_ready(name)
        assert len(double.requests) == number + 1  # one look where all is well


def test_collections_of_others_are_left_alone(double: QdrantDouble, tmp_path: Path) -> None:
    double.points.create("theirs", {"vectors": {"size": 8, "distance": "Dot"}})
    backend = QdrantServerBackend(double.url)
    name = build(backend, tmp_path / "index", source(5))
    with pytest.raises(DamagedArtifact, match="another program"):
        backend.retire("theirs")
    backend.retire(name)
    backend.retire(name)  # which is gone
    assert list(double.points.collections) == ["theirs"]
    with pytest.raises(DamagedArtifact):
        backend.await_ready(name)
