"""s3://bucket/prefix as a source, on a real S3 server: labels by folder, stamps, limits, ingest."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio
from real_servers import ACCESS_KEY, SECRET_KEY, SwiftServer

from lookalike.errors import (
    DependencyUnavailable,
    ImageTooLarge,
    InvalidImage,
    InvalidRequest,
    InvalidSource,
    SourceRefused,
)
from lookalike.galleries.open import open_source
from lookalike.galleries.port import GallerySource, SourceImage
from lookalike.galleries.s3_prefix import S3PrefixSource
from lookalike.pipeline.job_kinds import IngestParams
from lookalike.pipeline.job_sources import SourceBuckets, check_source, job_source
from lookalike.storage.s3_bucket import S3Bucket, S3Server
from lookalike.storage.s3_objects import S3Objects
from lookalike.types.images import Labels

BUCKET = "photographs"


@pytest.fixture(scope="session")
def client(swift_server: SwiftServer) -> Minio:
    made = Minio(swift_server.url.partition("//")[2], ACCESS_KEY, SECRET_KEY, secure=False)
    made.make_bucket(BUCKET)
    return made


@pytest.fixture
def prefix(client: Minio) -> str:
    """A folder of this test's own, with four images and what is none."""
    folder = uuid.uuid4().hex
    names = ["1.jpg", "cat/2.JPG", "animal/cat/3 \u00fc.png", "animal/cat/deep/4.webp", "notes.txt", ".hidden/5.jpg"]
    for name in names:
        put(client, f"{folder}/{name}", name.encode())
    return folder


def put(client: Minio, key: str, data: bytes, **metadata: str) -> None:
    client.put_object(BUCKET, key, io.BytesIO(data), len(data), metadata=metadata)


def objects(server: SwiftServer, name: str) -> S3Objects:
    return S3Objects(S3Bucket(S3Server(server.url, "us-east-1", ACCESS_KEY, SECRET_KEY), name))


@pytest.fixture
def source(prefix: str, swift_server: SwiftServer) -> Iterator[GallerySource]:
    opened = open_source(
        f"s3://{BUCKET}/{prefix}",
        images_root=None,
        fetcher=lambda url: b"",
        open_bucket=lambda name: objects(swift_server, name),
        max_bytes=100,
    )
    yield opened
    opened.close()


def images_of(source: GallerySource) -> dict[str, SourceImage]:
    return {item.key: item for item in source.images() if isinstance(item, SourceImage)}


def test_images_by_their_names_with_labels_by_their_folders(source: GallerySource) -> None:
    found = images_of(source)
    assert {key: image.labels for key, image in found.items()} == {
        "1.jpg": Labels(),
        "animal/cat/3 \u00fc.png": Labels.single("cat", "animal"),
        "animal/cat/deep/4.webp": Labels.single("cat", "animal"),
        "cat/2.JPG": Labels.single("cat"),
    }
    assert list(found) == sorted(found)
    assert {key: source.read(image) for key, image in found.items()} == {key: key.encode() for key in found}


def test_a_stamp_changes_with_the_bytes_and_only_with_them(source: GallerySource, client: Minio, prefix: str) -> None:
    before = {key: image.stamp for key, image in images_of(source).items()}
    put(client, f"{prefix}/1.jpg", b"other")
    put(client, f"{prefix}/cat/2.JPG", b"cat/2.JPG")
    after = {key: image.stamp for key, image in images_of(source).items()}
    assert {key for key in before if before[key] != after[key]} == {"1.jpg"}


def test_an_object_over_the_limit_is_not_read(source: GallerySource, client: Minio, prefix: str) -> None:
    listed = images_of(source)["1.jpg"]
    put(client, f"{prefix}/1.jpg", b"x" * 101)
    with pytest.raises(ImageTooLarge):
        source.read(images_of(source)["1.jpg"])
    with pytest.raises(ImageTooLarge):
        source.read(listed)  # it has grown since


def test_an_object_that_has_gone_is_no_image(source: GallerySource, client: Minio, prefix: str) -> None:
    listed = images_of(source)["1.jpg"]
    client.remove_object(BUCKET, f"{prefix}/1.jpg")
    with pytest.raises(InvalidImage):
        source.read(listed)


def test_what_other_programs_call_sha256_is_not_believed(source: GallerySource, client: Minio, prefix: str) -> None:
    put(client, f"{prefix}/1.jpg", b"bytes", sha256="of something else")
    assert source.read(images_of(source)["1.jpg"]) == b"bytes"


def test_nothing_there_is_said_at_once(client: Minio, swift_server: SwiftServer) -> None:
    with pytest.raises(InvalidSource, match="nothing"):
        S3PrefixSource(objects(swift_server, BUCKET), BUCKET, "no/such/folder")
    missing = objects(swift_server, "no-such-bucket")
    with pytest.raises(DependencyUnavailable, match="no-such-bucket"):
        S3PrefixSource(missing, "no-such-bucket", "")
    missing.close()
    with pytest.raises(InvalidRequest):
        objects(swift_server, "No Bucket")
    with pytest.raises(InvalidSource):
        open_source("s3://bucket", images_root=None, fetcher=lambda url: b"")


def test_a_client_names_only_the_buckets_that_the_setting_allows(
    prefix: str, swift_server: SwiftServer, tmp_path: Path
) -> None:
    allowed = SourceBuckets((BUCKET,), lambda name: objects(swift_server, name))
    params = IngestParams(source=f"s3://{BUCKET}/{prefix}")
    check_source(params, (), allowed)
    with job_source(params, (), lambda url: b"", tmp_path, allowed) as (opened, identifier):
        assert len(images_of(opened)) == 4
        assert identifier
    for named in (f"s3://{BUCKET}x/{prefix}", "s3://other", "s3://", f"s3:///{BUCKET}", f"S3://{BUCKET}"):
        with pytest.raises(SourceRefused):
            check_source(IngestParams(source=named), (), allowed)
    with pytest.raises(SourceRefused):
        check_source(params, ())
