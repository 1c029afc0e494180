"""Galleries are listed by their pointers: /readyz and /metrics ask for that all the time, however much they hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.catalog import galleries
from lookalike.catalog.galleries import Galleries
from lookalike.storage.local import LocalStore
from lookalike.storage.port import ObjectInfo


class CountingStore(LocalStore):
    """Counts what its listings show."""

    shown = 0

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        for info in super().list(prefix, after=after):
            self.shown += 1
            yield info


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CountingStore:
    monkeypatch.setattr(galleries, "_PAGE", 4)
    return CountingStore(tmp_path)


def test_each_gallery_is_found_whatever_lies_before_and_after_its_pointer(store: CountingStore) -> None:
    names = ["a", "a-b", "a0", "a_b", "b", "c"]
    for number, name in enumerate(names):
        Galleries(store).create(name)
        for other in range(number * 3):
            store.put(f"galleries/{name}/embeddings/m/parts/{other}/part.json", b"")
            store.put(f"galleries/{name}/images/00/{other}", b"")
    store.delete("galleries/c/gallery.json")
    assert [pointer.name for pointer in Galleries(store).list()] == sorted(names[:-1], key=lambda name: name + "/")


def test_a_large_gallery_costs_no_more_than_a_small_one(store: CountingStore) -> None:
    made = Galleries(store)
    for name in ("large", "small"):
        made.create(name)
    for number in range(300):
        store.put(f"galleries/large/embeddings/m/parts/{number}/part.json", b"")
        store.put(f"galleries/large/images/00/{number}", b"")
    assert [pointer.name for pointer in made.list()] == ["large", "small"]
    assert store.shown < 20
