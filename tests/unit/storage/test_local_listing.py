"""Listings of a local store open no file, and see every write."""

import os
from pathlib import Path

import pytest

from lookalike.storage.local import LocalStore


def test_a_listing_opens_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    for number in range(20):
        store.put(f"folder/{number:02}/small", b"x")

    def refused(*arguments: object, **options: object) -> None:
        raise AssertionError("a listing opened a file")

    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(Path, "read_bytes", refused)
    assert [info.key for info in store.list("folder/")] == [f"folder/{number:02}/small" for number in range(20)]


def test_the_etag_of_a_listing_changes_with_each_write_and_with_nothing_else(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("a/one", b"same size")
    store.put("a/two", b"another")
    former = {info.key: info.etag for info in store.list("")}
    assert {info.key: info.etag for info in LocalStore(tmp_path).list("a/")} == former
    store.put("a/one", b"SAME SIZE")
    now = {info.key: info.etag for info in store.list("")}
    assert now["a/one"] != former["a/one"]
    assert now["a/two"] == former["a/two"]


def test_to_look_for_one_object_reads_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.put("many/object", b"1")
    store.put("many/object.json", b"2")
    scanned: list[object] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: (scanned.append(folder), scandir(folder))[1])
    found = next(store.list("many/object"))
    assert (found.key, found.size_bytes, scanned) == ("many/object", 1, [])
    assert [info.key for info in store.list("many/object")] == ["many/object", "many/object.json"]


def test_nothing_outside_of_the_store_is_listed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"")
    store = LocalStore(tmp_path / "store")
    store.put("inside", b"")
    assert list(store.list("../")) == []
    assert [info.key for info in store.list("")] == ["inside"]
