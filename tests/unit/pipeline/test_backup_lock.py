"""One writer at a time where backups are kept, also after accidents."""

import threading
from pathlib import Path

import pytest
from real_servers import wait_until

from lookalike.catalog import documents
from lookalike.errors import BackupRunning
from lookalike.pipeline import backup_lock
from lookalike.pipeline.backup_lock import LOCK, locked
from lookalike.storage.local import LocalStore


def nobody_sleeps(seconds: float) -> None:
    raise AssertionError("there was nothing to wait for")


def test_one_after_the_other(tmp_path: Path) -> None:
    place = LocalStore(tmp_path)
    for _ in range(3):
        with locked(place, sleep=nobody_sleeps) as held:
            held.check()


def test_a_second_one_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    place = LocalStore(tmp_path)
    with locked(place, lease_s=0.2) as held:
        beaten = threading.Event()

        def until_it_beats(seconds: float) -> None:
            former = place.get(LOCK)
            wait_until(lambda: place.get(LOCK) != former, what="the holder's next beat")
            beaten.set()

        with pytest.raises(BackupRunning), locked(place, lease_s=0.2, sleep=until_it_beats):
            pass
        assert beaten.is_set()
        held.check()


def test_a_dead_one_is_followed_and_knows_when_it_was_not_dead(tmp_path: Path) -> None:
    place = LocalStore(tmp_path)
    paused = threading.Event()

    class Paused(LocalStore):
        """Of a process that stands still: it does not get to write its beats."""

        def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
            if etag is not None:
                paused.wait(60)
            return super().put_if(key, data, etag=etag)

    with locked(Paused(tmp_path), lease_s=0.05) as first:
        waited: list[float] = []
        with locked(place, lease_s=7.0, sleep=waited.append) as second:
            paused.set()
            wait_until(lambda: first.is_lost, what="the first to notice")
            with pytest.raises(BackupRunning):
                first.check()
            second.check()
        assert waited == [7.0]
    # The first has not ended what became the second's.
    assert documents.decode(backup_lock._Lock, place.get(LOCK), LOCK).holder is None


def test_two_that_find_it_free_at_once_do_not_both_have_it(tmp_path: Path) -> None:
    class Racing(LocalStore):
        """Somebody else is faster, once."""

        def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
            LocalStore(tmp_path).put(key, documents.encode(backup_lock._Lock(holder="somebody else")))
            return super().put_if(key, data, etag=etag)

    with pytest.raises(BackupRunning), locked(Racing(tmp_path)):
        pass
