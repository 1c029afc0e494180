"""Conditional writes by the server's own If-Match, and how a server is asked what it can do.

Swift has none: a proxy in front of it plays such a server (tests/if_match_proxy.py).
"""

import threading
from collections.abc import Iterator

import pytest
from faulty_proxy import FaultyProxy
from if_match_proxy import IfMatchProxy
from real_servers import SwiftServer
from s3_buckets import OpenBucket

from lookalike.errors import CapabilityMissing, DependencyUnavailable, PreconditionFailed
from lookalike.storage.s3 import S3Store
from lookalike.storage.s3_claims import claim_of
from lookalike.storage.s3_conditional import probe
from lookalike.storage.s3_versions import Written, describe, new_token, sha256_of


@pytest.fixture
def with_if_match(swift_server: SwiftServer) -> Iterator[IfMatchProxy]:
    proxy = IfMatchProxy(swift_server.port)
    proxy.start()
    yield proxy
    proxy.stop()


def test_a_server_is_asked_what_it_can_do(open_bucket: OpenBucket, with_if_match: IfMatchProxy) -> None:
    assert probe(open_bucket()) == "claims"
    assert probe(open_bucket(with_if_match.port)) == "native"
    assert list(open_bucket().list("")) == [], "nothing of it is left"


def test_a_server_that_passes_over_conditions_is_refused(open_bucket: OpenBucket, swift_server: SwiftServer) -> None:
    forgetful = IfMatchProxy(swift_server.port, forgetful=True)
    forgetful.start()
    try:
        store = S3Store(open_bucket(forgetful.port))
        store.put("k", b"1")
        with pytest.raises(CapabilityMissing, match="If-None-Match"):
            store.put_if("k2", b"1", etag=None)
        assert store.head("k2") is None
    finally:
        forgetful.stop()


def test_a_server_that_is_away_is_not_taken_for_one_without_conditions(
    open_bucket: OpenBucket, proxy: FaultyProxy
) -> None:
    proxy.refuse()
    store = S3Store(open_bucket(proxy.port, timeout_s=0.5))
    with pytest.raises(DependencyUnavailable):
        store.put_if("k", b"1", etag=None)


def test_answers_that_are_lost_count_once(open_bucket: OpenBucket, with_if_match: IfMatchProxy) -> None:
    proxy = FaultyProxy(with_if_match.port)
    proxy.start()
    try:
        store = S3Store(open_bucket(proxy.port), conditional="native")
        store.put_if("counter", b"0", etag=None)
        proxy.fail_share(0.3, seed=4, faults=("cut_response", "503"))

        def count() -> None:
            done = 0
            while done < 4:
                data, etag = store.get_with_etag("counter")
                try:
                    store.put_if("counter", b"%d" % (int(data) + 1), etag=etag)
                except PreconditionFailed:
                    continue
                done += 1

        threads = [threading.Thread(target=count) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        proxy.pass_all()
        assert store.get("counter") == b"8"
        assert proxy.num_faults > 3, "the faults happened"
        with pytest.raises(PreconditionFailed):
            store.put_if("counter", b"0", etag=None)
    finally:
        proxy.stop()


def test_what_claims_have_left_is_written_over_natively(open_bucket: OpenBucket, with_if_match: IfMatchProxy) -> None:
    """The setting may change, or the server learn."""
    bucket = open_bucket(with_if_match.port)
    first = S3Store(bucket, conditional="claims").put_if("k", b"1", etag=None)
    former = bucket.stat("k")
    assert former is not None
    claimed = new_token(Written.BY_CLAIM)
    bucket.put(claim_of("k", first), b"2", describe(sha256_of(b"2"), claimed, former))
    store = S3Store(bucket, conditional="native")
    assert store.get_with_etag("k") == (b"2", claimed)
    last = store.put_if("k", b"3", etag=claimed)
    assert store.get_with_etag("k") == (b"3", last)
