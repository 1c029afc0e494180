"""What every object store promises (lookalike/storage/port.py)."""

import multiprocessing
import os
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from if_match_proxy import IfMatchProxy
from minio import Minio
from real_servers import ACCESS_KEY, SECRET_KEY, SwiftServer

from lookalike.errors import InvalidRequest, ObjectNotFound, PreconditionFailed
from lookalike.storage.keys import check_key
from lookalike.storage.local import LocalStore
from lookalike.storage.observed import ObservedStore
from lookalike.storage.port import ObjectStore
from lookalike.storage.s3 import S3Store
from lookalike.storage.s3_bucket import S3Bucket, S3Server

BUCKET = "lookalike-contract"


@dataclass(frozen=True)
class Address:
    """Where a store is: what another process needs to open the same one. Each test has another folder or prefix."""

    folder: Path | None = None
    server: S3Server | None = None
    prefix: str = ""
    conditional: str = "auto"
    observed: bool = False

    def open(self) -> ObjectStore:
        if self.server is None:
            assert self.folder is not None
            return ObservedStore(LocalStore(self.folder)) if self.observed else LocalStore(self.folder)
        means = cast(Literal["auto", "native", "claims"], self.conditional)
        return S3Store(S3Bucket(self.server, BUCKET, self.prefix), conditional=means)

    def times(self, of_files: int, of_requests: int) -> int:
        """How often a test repeats something: a request to Swift takes 20 ms, and a conditional write several."""
        return of_files if self.server is None else of_requests


def _bucket_at(server: S3Server) -> S3Server:
    client = Minio(
        server.endpoint.partition("//")[2],
        server.access_key,
        server.secret_key,
        secure=server.endpoint.startswith("https"),
    )
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    return server


@pytest.fixture(scope="session")
def swift(swift_server: SwiftServer) -> S3Server:
    return _bucket_at(S3Server(swift_server.url, "us-east-1", ACCESS_KEY, SECRET_KEY))


@pytest.fixture(scope="session")
def swift_with_if_match(swift_server: SwiftServer) -> Iterator[S3Server]:
    proxy = IfMatchProxy(swift_server.port)
    proxy.start()
    yield _bucket_at(S3Server(f"http://127.0.0.1:{proxy.port}", "us-east-1", ACCESS_KEY, SECRET_KEY))
    proxy.stop()


@pytest.fixture(scope="session")
def minio() -> S3Server:
    url = os.environ.get("MINIO_URL")
    if url is None:
        pytest.skip("real MinIO: runs where MINIO_URL, MINIO_ACCESS_KEY and MINIO_SECRET_KEY name a server")
    return _bucket_at(S3Server(url, None, os.environ["MINIO_ACCESS_KEY"], os.environ["MINIO_SECRET_KEY"]))


@pytest.fixture(params=["local", "observed", "swift", "swift_with_if_match", "minio"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Address:
    if request.param in ("local", "observed"):
        return Address(folder=tmp_path / "store", observed=request.param == "observed")
    server = request.getfixturevalue(request.param)
    # Two that ask the server what it can do, and one that is told.
    means = "auto" if request.param != "swift" else "claims"
    return Address(server=server, prefix=f"{uuid.uuid4().hex}/", conditional=means)


@pytest.fixture
def store(address: Address) -> Iterator[ObjectStore]:
    opened = address.open()
    yield opened
    if isinstance(opened, S3Store):
        opened.close()


def test_an_object_is_read_as_it_was_written(store: ObjectStore) -> None:
    etag = store.put("a/b.bin", b"\x00one")
    assert store.get("a/b.bin") == b"\x00one"
    assert store.get_with_etag("a/b.bin") == (b"\x00one", etag)
    info = store.head("a/b.bin")
    assert info is not None
    assert (info.key, info.size_bytes, info.etag) == ("a/b.bin", 4, etag)


def test_the_etag_changes_with_the_bytes(store: ObjectStore) -> None:
    first = store.put("k", b"one")
    second = store.put("k", b"two")
    assert first != second
    assert store.get("k") == b"two"


def test_what_is_not_there_is_said_so(store: ObjectStore, tmp_path: Path) -> None:
    store.put("folder/object", b"")
    for missing in ("none", "folder", "folder/object/below"):
        assert store.head(missing) is None
        assert store.local_path(missing) is None
        with pytest.raises(ObjectNotFound):
            store.get(missing)
        with pytest.raises(ObjectNotFound):
            store.get_with_etag(missing)
        with pytest.raises(ObjectNotFound):
            store.fetch_file(missing, tmp_path / "out")
        store.delete(missing)
    assert not (tmp_path / "out").exists()


def test_listing_is_by_prefix_and_in_key_order(store: ObjectStore) -> None:
    keys = ["a-b/x", "a/x", "a/x.json", "a/y/z", "ab", "b"]
    for key in reversed(keys):
        store.put(key, key.encode())
    assert [info.key for info in store.list("")] == sorted(keys)
    assert [info.key for info in store.list("a/")] == ["a/x", "a/x.json", "a/y/z"]
    assert [info.key for info in store.list("a/x")] == ["a/x", "a/x.json"]
    assert list(store.list("c/")) == []
    for prefix in ("", "a/", "a/x", "c/"):
        for after in ("a", "a/x", "a/x.", "a/y", "a/y/z", "a0", "b", "\U0010ffff"):
            wanted = [key for key in sorted(keys) if key.startswith(prefix) and key > after]
            assert [info.key for info in store.list(prefix, after=after)] == wanted


def test_deleted_is_gone(store: ObjectStore) -> None:
    store.put("a", b"1")
    store.delete("a")
    assert store.head("a") is None


def test_files_go_both_ways(store: ObjectStore, tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000  # over the size at which ETags are made of the content
    (tmp_path / "in").write_bytes(data)
    etag = store.put_file("big", tmp_path / "in")
    store.fetch_file("big", tmp_path / "deep" / "out")
    assert (tmp_path / "deep" / "out").read_bytes() == data
    info = store.head("big")
    assert info is not None
    assert info.etag == etag
    path = store.local_path("big")
    assert path is None or path.read_bytes() == data


def test_a_conditional_write_needs_the_version_it_names(store: ObjectStore) -> None:
    first = store.put_if("pointer", b"1", etag=None)
    with pytest.raises(PreconditionFailed):
        store.put_if("pointer", b"2", etag=None)
    second = store.put_if("pointer", b"2", etag=first)
    with pytest.raises(PreconditionFailed):
        store.put_if("pointer", b"3", etag=first)
    assert store.get_with_etag("pointer") == (b"2", second)
    with pytest.raises(PreconditionFailed):
        store.put_if("absent", b"1", etag=second)


def test_of_many_conditional_writers_one_wins(store: ObjectStore) -> None:
    etag = store.put("pointer", b"start")
    won: list[bytes] = []
    barrier = threading.Barrier(8)

    def write(value: bytes) -> None:
        barrier.wait()
        try:
            store.put_if("pointer", value, etag=etag)
        except PreconditionFailed:
            return
        won.append(value)

    threads = [threading.Thread(target=write, args=(b"%d" % number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("pointer") == won[0]


def _count_up(address: Address, times: int) -> None:
    store = address.open()
    done = 0
    while done < times:
        data, etag = store.get_with_etag("counter")
        try:
            store.put_if("counter", b"%d" % (int(data) + 1), etag=etag)
        except PreconditionFailed:
            continue
        done += 1


def test_processes_that_count_together_lose_no_step(address: Address, store: ObjectStore) -> None:
    store.put("counter", b"0")
    times, num_processes = address.times(40, 4), address.times(3, 2)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(address, times)) for _ in range(num_processes)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * num_processes
    assert store.get("counter") == b"%d" % (num_processes * times)


def test_a_reader_never_sees_half_an_object(address: Address, store: ObjectStore) -> None:
    size = 3_000_000
    store.put("k", b"a" * size)
    stop = threading.Event()

    def replace() -> None:
        for letter in (b"b", b"a") * address.times(20, 4):
            store.put("k", letter * size)
        stop.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not stop.is_set():
        data = store.get("k")
        assert len(data) == size
        assert len(set(data)) == 1
    writer.join()


def test_what_was_written_conditionally_is_like_any_other(store: ObjectStore, tmp_path: Path) -> None:
    etag = store.put_if("a/pointer", b"1", etag=None)
    etag = store.put_if("a/pointer", b"two", etag=etag)
    store.put("a/b", b"")
    info = store.head("a/pointer")
    assert info is not None
    assert (info.size_bytes, info.etag) == (3, etag)
    store.fetch_file("a/pointer", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == store.get("a/pointer") == b"two"
    assert [(found.key, found.size_bytes) for found in store.list("")] == [("a/b", 0), ("a/pointer", 3)]
    store.delete("a/pointer")
    assert store.head("a/pointer") is None
    again = store.put_if("a/pointer", b"1", etag=None)
    with pytest.raises(PreconditionFailed):
        store.put_if("a/pointer", b"2", etag=etag)
    assert store.get_with_etag("a/pointer") == (b"1", again)


def test_a_written_object_says_when(store: ObjectStore) -> None:
    store.put("a", b"1")
    info = store.head("a")
    assert info is not None
    assert info.modified_at is not None
    assert info.modified_at.tzinfo is not None
    assert abs((datetime.now(UTC) - info.modified_at).total_seconds()) < 300  # another machine's clock
    (listed,) = store.list("")
    assert listed.modified_at is not None
    assert abs((listed.modified_at - info.modified_at).total_seconds()) < 2


def test_keys_are_any_text_and_come_in_the_order_of_strings(store: ObjectStore) -> None:
    keys = [
        "a b",
        "a+b",
        "a%20b",
        "A",
        "caf\u00e9",
        "cafe\u0301",
        "\u65e5\u672c/\u5199\u771f",
        "\U0001f41f",
        "\ufb01",
        "x&y=?#'<>",
    ]
    for key in keys:
        store.put(key, key.encode())
    assert [info.key for info in store.list("")] == sorted(keys)
    assert [store.get(key).decode() for key in keys] == keys
    assert [info.key for info in store.list("caf\u00e9")] == ["caf\u00e9"]


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a\\b", "a\nb", "x" * 901])
def test_keys_that_could_leave_the_store_are_refused(store: ObjectStore, key: str) -> None:
    for call in (store.get, store.head, store.delete, store.local_path):
        with pytest.raises(InvalidRequest):
            call(key)
    with pytest.raises(InvalidRequest):
        store.put(key, b"")
    with pytest.raises(InvalidRequest):
        store.put_if(key, b"", etag=None)


@given(st.text(max_size=30))
def test_an_accepted_key_never_climbs(key: str) -> None:
    try:
        check_key(key)
    except InvalidRequest:
        return
    assert not key.startswith("/")
    assert ".." not in key.split("/")
