"""An observed store answers as the one in it, and counts what was asked."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.errors import DependencyUnavailable, ObjectNotFound, PreconditionFailed
from lookalike.storage.local import LocalStore
from lookalike.storage.observed import ObservedStore
from lookalike.storage.port import ObjectInfo
from lookalike.telemetry.declared import STORE_BYTES, STORE_CALLS, STORE_SECONDS
from lookalike.telemetry.metrics import PROCESS


class Counted:
    """What the process's metrics of the store say since the last look."""

    def __init__(self) -> None:
        self._registry = PROCESS.start()
        self._before = self._now()

    def calls(self) -> dict[tuple[str, str], float]:
        return {(op, outcome): number for (name, op, outcome), number in self._grown() if name == "calls"}

    def bytes(self) -> dict[str, float]:
        return {op: number for (name, op, _), number in self._grown() if name == "bytes"}

    def timed(self) -> dict[str, float]:
        return {op: number for (name, op, _), number in self._grown() if name == "seconds"}

    def _grown(self) -> list[tuple[tuple[str, str, str], float]]:
        grown = {key: value - self._before.get(key, 0) for key, value in self._now().items()}
        return [(key, number) for key, number in grown.items() if number]

    def _now(self) -> dict[tuple[str, str, str], float]:
        wanted = {
            STORE_CALLS.exposed: "calls",
            STORE_BYTES.exposed: "bytes",
            f"{STORE_SECONDS.exposed}_count": "seconds",
        }
        return {
            (wanted[sample.name], sample.labels["op"], sample.labels.get("outcome", "")): sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name in wanted
        }


@pytest.fixture
def store(tmp_path: Path) -> ObservedStore:
    return ObservedStore(LocalStore(tmp_path / "store"))


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_every_call_answers_and_is_counted(store: ObservedStore, counted: Counted, tmp_path: Path) -> None:
    etag = store.put("a/1", b"12345")
    assert store.get("a/1") == b"12345"
    assert store.get_with_etag("a/1") == (b"12345", etag)
    assert store.put_if("a/2", b"123", etag=None)
    (tmp_path / "file").write_bytes(b"1234567")
    store.put_file("a/3", tmp_path / "file")
    store.fetch_file("a/3", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"1234567"
    found = store.head("a/1")
    assert found is not None
    assert (found.key, found.size_bytes, found.etag) == ("a/1", 5, etag)
    assert [info.key for info in store.list("a/")] == ["a/1", "a/2", "a/3"]
    path = store.local_path("a/1")
    assert path is not None
    assert path.read_bytes() == b"12345"
    store.delete("a/1")
    assert store.head("a/1") is None
    expected = {"put": 1, "get": 1, "get_with_etag": 1, "put_if": 1, "put_file": 1, "fetch_file": 1}
    expected |= {"head": 2, "list": 1, "delete": 1}
    assert counted.calls() == {(op, "ok"): number for op, number in expected.items()}
    assert counted.bytes() == {"put": 5, "get": 5, "get_with_etag": 5, "put_if": 3, "put_file": 7, "fetch_file": 7}
    assert sum(counted.timed().values()) == sum(counted.calls().values())


def test_an_error_goes_through_and_is_counted_by_its_code(store: ObservedStore, counted: Counted) -> None:
    store.put("a", b"1")
    with pytest.raises(ObjectNotFound):
        store.get("b")
    with pytest.raises(PreconditionFailed):
        store.put_if("a", b"2", etag="other")
    assert counted.calls() == {("put", "ok"): 1, ("get", "object_not_found"): 1, ("put_if", "precondition_failed"): 1}
    assert counted.bytes() == {"put": 1}


def test_a_listing_is_counted_when_it_ends_or_is_left(store: ObservedStore, counted: Counted) -> None:
    for number in range(3):
        store.put(f"a/{number}", b"")
    listing = store.list("a/")
    assert [info.key for info in itertools.islice(listing, 2)] == ["a/0", "a/1"]
    assert ("list", "ok") not in counted.calls()
    listing.close()  # type: ignore[attr-defined]
    assert counted.calls()["list", "ok"] == 1


def test_a_listing_that_breaks_off_is_counted_by_its_code(tmp_path: Path, counted: Counted) -> None:
    class Away(LocalStore):
        def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
            yield ObjectInfo("a", 0, "")
            raise DependencyUnavailable("the store does not answer")

    listing = ObservedStore(Away(tmp_path)).list("")
    assert next(listing).key == "a"
    with pytest.raises(DependencyUnavailable):
        next(listing)
    assert counted.calls() == {("list", "dependency_unavailable"): 1}
