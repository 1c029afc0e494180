"""A bucket of the real S3 server, behind a proxy that can misbehave."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from faulty_proxy import FaultyProxy
from minio import Minio
from real_servers import ACCESS_KEY, SECRET_KEY, SwiftServer
from s3_buckets import BUCKET, OpenBucket

from lookalike.storage.s3_bucket import S3Bucket, S3Server


@pytest.fixture(scope="session")
def swift(swift_server: SwiftServer) -> S3Server:
    server = S3Server(swift_server.url, "us-east-1", ACCESS_KEY, SECRET_KEY)
    client = Minio(server.endpoint.partition("//")[2], ACCESS_KEY, SECRET_KEY, secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    return server


@pytest.fixture
def proxy(swift_server: SwiftServer) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(swift_server.port)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def open_bucket(swift: S3Server) -> Iterator[OpenBucket]:
    """Buckets with one prefix of this test's own: straight, or through the proxy on a port."""
    prefix = f"{uuid.uuid4().hex}/"
    opened = []

    def open_one(port: int | None = None, *, timeout_s: float = 30.0, **options: int) -> S3Bucket:
        endpoint = swift.endpoint if port is None else f"http://127.0.0.1:{port}"
        opened.append(S3Bucket(replace(swift, endpoint=endpoint, timeout_s=timeout_s), BUCKET, prefix, **options))
        return opened[-1]

    yield open_one
    for bucket in opened:
        bucket.close()
