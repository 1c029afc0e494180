"""What every object store promises (lookalike/storage/port.py)."""

import multiprocessing
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import InvalidRequest, ObjectNotFound, PreconditionFailed
from lookalike.storage.keys import check_key
from lookalike.storage.local import LocalStore
from lookalike.storage.port import ObjectStore


@pytest.fixture(params=["local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return LocalStore(tmp_path / "store")


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


def _count_up(root: Path, times: int) -> None:
    store = LocalStore(root)
    done = 0
    while done < times:
        data, etag = store.get_with_etag("counter")
        try:
            store.put_if("counter", b"%d" % (int(data) + 1), etag=etag)
        except PreconditionFailed:
            continue
        done += 1


def test_processes_that_count_together_lose_no_step(tmp_path: Path) -> None:
    LocalStore(tmp_path).put("counter", b"0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count_up, args=(tmp_path, 40)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert LocalStore(tmp_path).get("counter") == b"120"


def test_a_reader_never_sees_half_an_object(store: ObjectStore) -> None:
    size = 3_000_000
    store.put("k", b"a" * size)
    stop = threading.Event()

    def replace() -> None:
        for letter in (b"b", b"a") * 20:
            store.put("k", letter * size)
        stop.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not stop.is_set():
        data = store.get("k")
        assert len(data) == size
        assert len(set(data)) == 1
    writer.join()


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
