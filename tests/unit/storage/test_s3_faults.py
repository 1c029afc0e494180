"""The S3 store over a connection that fails, and against a server that is away for a while."""

import logging
import threading
import time
from pathlib import Path

import pytest
from faulty_proxy import FaultyProxy
from prometheus_client import CollectorRegistry
from s3_buckets import BUCKET, OpenBucket

from lookalike.errors import DamagedArtifact, DependencyUnavailable, ObjectNotFound, PreconditionFailed
from lookalike.storage.s3 import S3Store
from lookalike.storage.s3_bucket import S3Bucket, S3Server
from lookalike.storage.s3_versions import SHA256
from lookalike.telemetry.declared import STORE_RETRIES
from lookalike.telemetry.metrics import PROCESS


@pytest.fixture
def store(open_bucket: OpenBucket, proxy: FaultyProxy) -> S3Store:
    return S3Store(open_bucket(proxy.port), conditional="claims")


def test_half_of_the_requests_fail_and_every_call_succeeds(store: S3Store, proxy: FaultyProxy, tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    (tmp_path / "in").write_bytes(data)
    registry = PROCESS.start()
    before = _retries(registry)
    proxy.fail_share(0.5, seed=1)
    for number in range(6):
        store.put(f"k{number}", b"%d" % number)
    store.put_file("file", tmp_path / "in")
    assert [store.get(f"k{number}") for number in range(6)] == [b"%d" % number for number in range(6)]
    store.fetch_file("file", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert [info.key for info in store.list("")] == ["file", *(f"k{number}" for number in range(6))]
    store.delete("k0")
    assert store.head("k0") is None
    assert proxy.num_faults > 5, "the faults happened"
    assert _retries(registry) - before > 5


def _retries(registry: CollectorRegistry) -> float:
    samples = [sample for family in registry.collect() for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == STORE_RETRIES.exposed)


def test_conditional_writes_whose_answers_are_lost_count_once(store: S3Store, proxy: FaultyProxy) -> None:
    proxy.fail_share(0.4, seed=2, faults=("cut_response", "cut_response", "503"))
    etag = store.put_if("counter", b"0", etag=None)
    for number in range(1, 4):
        etag = store.put_if("counter", b"%d" % number, etag=etag)
    with pytest.raises(PreconditionFailed):
        store.put_if("counter", b"9", etag=None)
    assert store.get_with_etag("counter") == (b"3", etag)
    assert proxy.num_faults > 5, "the faults happened"


def test_threads_that_count_over_a_failing_connection_lose_and_repeat_no_step(
    store: S3Store, proxy: FaultyProxy
) -> None:
    store.put_if("counter", b"0", etag=None)
    proxy.fail_share(0.15, seed=3, faults=("cut_response", "503"))

    def count() -> None:
        done = 0
        while done < 2:
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
    assert store.get("counter") == b"4"


def test_a_server_that_comes_back_in_time_was_never_away(store: S3Store, proxy: FaultyProxy) -> None:
    store.put("k", b"1")
    proxy.refuse()
    back = threading.Timer(2.0, proxy.pass_all)
    back.start()
    started = time.monotonic()
    assert store.get("k") == b"1"
    back.join()
    assert time.monotonic() - started >= 2.0


def test_a_slow_server_is_waited_for(store: S3Store, proxy: FaultyProxy) -> None:
    store.put("k", b"1")
    proxy.delay(1.5)
    assert store.get("k") == b"1"


@pytest.mark.parametrize("mode", ["refuse", "black_hole"])
def test_a_server_that_stays_away_is_said_in_time(mode: str, open_bucket: OpenBucket, proxy: FaultyProxy) -> None:
    store = S3Store(open_bucket(proxy.port, timeout_s=1.5), conditional="claims")
    getattr(proxy, mode)()
    started = time.monotonic()
    with pytest.raises(DependencyUnavailable, match=r"does not answer.*storage\.s3_endpoint") as caught:
        store.get("k")
    assert caught.value.details["dependency"] == "store"
    assert time.monotonic() - started < 10


def test_a_download_goes_on_where_it_was_cut(store: S3Store, proxy: FaultyProxy, tmp_path: Path) -> None:
    data = bytes(range(251)) * 20_000  # 5 MB
    store.put("big", data)
    proxy.cut_after(2_000_000, times=2)
    before = proxy.num_requests
    store.fetch_file("big", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data
    assert proxy.num_faults == 2
    assert proxy.num_requests - before == 3, "each further request asks for the rest only"


def test_a_download_that_ends_in_an_outage_leaves_nothing(
    open_bucket: OpenBucket, proxy: FaultyProxy, tmp_path: Path
) -> None:
    store = S3Store(open_bucket(proxy.port, timeout_s=1.5), conditional="claims")
    store.put("big", b"x" * 5_000_000)
    proxy.cut_after(0, times=1000)
    with pytest.raises(DependencyUnavailable):
        store.fetch_file("big", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_parts_of_an_upload_are_sent_again_and_the_whole_appears_at_once(
    open_bucket: OpenBucket, proxy: FaultyProxy, tmp_path: Path
) -> None:
    store = S3Store(open_bucket(proxy.port, part_bytes=5 * 2**20), conditional="claims")
    data = bytes(range(241)) * 50_000  # 12 MB: three parts
    (tmp_path / "in").write_bytes(data)
    proxy.fail_share(0.6, seed=1)
    etag = store.put_file("large", tmp_path / "in")
    assert proxy.num_faults > 1
    proxy.pass_all()
    info = store.head("large")
    assert info is not None
    assert (info.size_bytes, info.etag) == (len(data), etag)
    store.fetch_file("large", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


def test_an_upload_that_ends_in_an_outage_leaves_the_former_object(
    open_bucket: OpenBucket, proxy: FaultyProxy, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(b"n" * 11 * 2**20)
    straight = S3Store(open_bucket(), conditional="claims")
    straight.put("large", b"former")
    store = S3Store(open_bucket(proxy.port, timeout_s=1.5, part_bytes=5 * 2**20), conditional="claims")
    proxy.fail_share(1.0, faults=("cut_request",))
    with pytest.raises(DependencyUnavailable):
        store.put_file("large", tmp_path / "in")
    assert straight.get("large") == b"former"


def test_bytes_that_are_not_those_that_were_put_are_damaged(open_bucket: OpenBucket, tmp_path: Path) -> None:
    bucket = open_bucket()
    bucket.put("k", b"other", {SHA256: "0" * 64})
    store = S3Store(bucket)
    with pytest.raises(DamagedArtifact):
        store.get("k")
    with pytest.raises(DamagedArtifact):
        store.fetch_file("k", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_no_secret_is_in_a_message_or_a_log(
    swift: S3Server, proxy: FaultyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = S3Server(f"http://127.0.0.1:{proxy.port}", "us-east-1", "someone:else", "my-secret-key", timeout_s=1.5)
    store = S3Store(S3Bucket(server, BUCKET))
    with pytest.raises(DependencyUnavailable, match=r"storage\.s3_secret_key") as refused:
        store.put("k", b"1")
    assert proxy.num_requests == 1, "what is refused once is not asked for again"
    proxy.refuse()
    with pytest.raises(DependencyUnavailable) as away:
        store.put("k", b"1")
    store.close()
    said = f"{server!r} {refused.value} {away.value} {caplog.text}"
    assert "my-secret-key" not in said
    assert "Signature=" not in said


def test_a_bucket_that_is_not_there_is_named(open_bucket: OpenBucket, swift: S3Server) -> None:
    store = S3Store(S3Bucket(swift, "no-such-bucket"))
    with pytest.raises(DependencyUnavailable, match="no-such-bucket"):
        store.put("k", b"1")
    with pytest.raises((DependencyUnavailable, ObjectNotFound)):
        store.get("k")
    store.close()
