"""Conditional writes by claims: whoever dies or dawdles in the middle of one does no harm."""

import threading
from datetime import timedelta

import pytest
from s3_buckets import OpenBucket

from lookalike.errors import InvalidRequest, PreconditionFailed
from lookalike.storage import s3_race
from lookalike.storage.s3 import S3Store
from lookalike.storage.s3_bucket import S3Bucket
from lookalike.storage.s3_claims import claim_of, follow, sweep
from lookalike.storage.s3_versions import Written, describe, new_token, sha256_of


@pytest.fixture
def bucket(open_bucket: OpenBucket) -> S3Bucket:
    return open_bucket()


@pytest.fixture
def store(bucket: S3Bucket) -> S3Store:
    return S3Store(bucket, conditional="claims")


def claim(bucket: S3Bucket, key: str, data: bytes) -> str:
    """What a writer over the last version leaves that is killed before it writes the object itself."""
    lying = bucket.stat(key)
    assert lying is not None
    former = follow(bucket, key, lying)
    token = new_token(Written.BY_CLAIM)
    etag = former.metadata["version"]
    bucket.put(claim_of(key, etag), data, describe(sha256_of(data), token, former))
    return token


def test_a_winner_that_died_before_it_wrote_the_object_has_won(bucket: S3Bucket, store: S3Store) -> None:
    first = store.put_if("k", b"one", etag=None)
    second = claim(bucket, "k", b"second")
    assert store.get_with_etag("k") == (b"second", second)
    info = store.head("k")
    assert info is not None
    assert (info.size_bytes, info.etag) == (6, second)
    with pytest.raises(PreconditionFailed):
        store.put_if("k", b"other", etag=first)
    third = claim(bucket, "k", b"third")
    assert store.get("k") == b"third"
    fourth = store.put_if("k", b"fourth", etag=third)
    assert store.get_with_etag("k") == (b"fourth", fourth)


def test_one_that_died_over_a_plain_object_is_finished_by_the_next_writer(bucket: S3Bucket, store: S3Store) -> None:
    plain = store.put("k", b"plain")
    won = claim(bucket, "k", b"won")
    assert store.get_with_etag("k") == (b"plain", plain), "readers of plain objects look for no claims"
    with pytest.raises(PreconditionFailed):
        store.put_if("k", b"late", etag=plain)
    assert store.get_with_etag("k") == (b"won", won)


def test_a_slow_writer_that_brings_back_an_old_version_does_no_harm(bucket: S3Bucket, store: S3Store) -> None:
    etag = store.put_if("k", b"0", etag=None)
    slow = bucket.stat("k")
    assert slow is not None
    for number in range(1, 4):
        etag = store.put_if("k", b"%d" % number, etag=etag)
    bucket.put("k", b"0", slow.metadata)
    assert store.get_with_etag("k") == (b"3", etag)
    last = store.put_if("k", b"4", etag=etag)
    bucket.put("k", b"0", slow.metadata)
    assert store.get_with_etag("k") == (b"4", last)


def test_the_same_bytes_again_are_another_version(store: S3Store) -> None:
    plain = store.put("k", b"same")
    other = store.put_if("k", b"other", etag=plain)
    again = store.put("k", b"same")
    assert len({plain, other, again}) == 3
    with pytest.raises(PreconditionFailed):
        store.put_if("k", b"x", etag=plain)
    store.put_if("k", b"new", etag=again)
    assert store.get("k") == b"new"


def test_claims_are_nobodys_business(bucket: S3Bucket, store: S3Store) -> None:
    etag = store.put_if("k", b"1", etag=None)
    store.put_if("k", b"2", etag=etag)
    assert [info.key for info in store.list("")] == ["k"]
    assert len(list(bucket.list(""))) > 1
    for call in (store.get, store.head, store.delete):
        with pytest.raises(InvalidRequest):
            call(claim_of("k", etag))
    store.delete("k")
    assert list(bucket.list("")) == []


def test_old_claims_go_and_those_that_a_slow_writer_may_need_stay(bucket: S3Bucket, store: S3Store) -> None:
    first = store.put_if("k", b"1", etag=None)
    forgotten = claim_of("k", new_token(Written.BY_CLAIM))
    bucket.put(forgotten, b"", {})
    second = store.put_if("k", b"2", etag=first)
    third = store.put_if("k", b"3", etag=second)
    sweep(bucket, "k")
    assert bucket.stat(forgotten) is not None, "not old enough"
    sweep(bucket, "k", timedelta(seconds=-1))  # what was written this second is old enough
    left = {found.key for found in bucket.list(claim_of("k", ""))}
    assert left == {claim_of("k", first), claim_of("k", second)}, "these the object remembers"
    assert store.get_with_etag("k") == (b"3", third)


def test_who_died_in_a_race_is_not_waited_for_long(
    bucket: S3Bucket, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_race, "_LONGEST_S", 0.3)
    etag = store.put_if("k", b"1", etag=None)
    dead = f"{claim_of('k', etag)}.by/{new_token(Written.BY_CLAIM)}"
    bucket.put(dead, b"", {})
    store.put_if("k", b"2", etag=etag)
    assert store.get("k") == b"2"
    assert bucket.stat(dead) is None


def test_of_many_creators_at_once_one_wins_and_readers_see_no_other(bucket: S3Bucket, store: S3Store) -> None:
    """Swift looks first and writes later: without the race several would be told that they created it."""
    for attempt in range(2):
        won: dict[bytes, str] = {}
        barrier = threading.Barrier(6)

        def create(name: bytes, key: str, barrier: threading.Barrier, won: dict[bytes, str]) -> None:
            barrier.wait()
            try:
                won[name] = store.put_if(key, name, etag=None)
            except PreconditionFailed:
                return

        threads = [
            threading.Thread(target=create, args=(b"%d" % number, f"k{attempt}", barrier, won)) for number in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ((name, etag),) = won.items()
        assert store.get_with_etag(f"k{attempt}") == (name, etag)
