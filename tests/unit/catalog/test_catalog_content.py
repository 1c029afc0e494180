"""Bytes under their digest: written once, and again when they are taken up after long."""

import os
from datetime import UTC, datetime, timedelta

from lookalike.catalog.content import WRITTEN_AGAIN_AFTER, put_content
from lookalike.storage.local import LocalStore

KEY = "galleries/some/images/00/00"


def age(store: LocalStore) -> timedelta:
    info = store.head(KEY)
    assert info is not None
    assert info.modified_at is not None
    (listed,) = store.list("galleries/")
    assert (listed.key, listed.size_bytes, listed.modified_at) == (info.key, info.size_bytes, info.modified_at)
    return datetime.now(UTC) - info.modified_at


def test_what_was_just_written_is_not_written_again(tmp_path) -> None:
    store = LocalStore(tmp_path)
    put_content(store, KEY, b"bytes")
    recently = datetime.now(UTC) - WRITTEN_AGAIN_AFTER / 2
    os.utime(tmp_path / KEY, (recently.timestamp(), recently.timestamp()))
    put_content(store, KEY, b"bytes")
    assert age(store) >= WRITTEN_AGAIN_AFTER / 2


def test_what_is_old_becomes_young_when_it_is_taken_up_again(tmp_path) -> None:
    store = LocalStore(tmp_path)
    put_content(store, KEY, b"bytes")
    long_ago = datetime.now(UTC) - 2 * WRITTEN_AGAIN_AFTER
    os.utime(tmp_path / KEY, (long_ago.timestamp(), long_ago.timestamp()))
    assert age(store) > WRITTEN_AGAIN_AFTER
    put_content(store, KEY, b"bytes")
    assert age(store) < WRITTEN_AGAIN_AFTER
    assert store.get(KEY) == b"bytes"
