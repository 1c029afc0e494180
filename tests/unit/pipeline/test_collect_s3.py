"""Garbage leaves a bucket as it leaves a folder, although S3 has other ETags in listings."""

from datetime import UTC, datetime, timedelta

from minio import Minio
from real_servers import ACCESS_KEY, SECRET_KEY, SwiftServer
from reembedded_gallery import GALLERY, Tiles, tile

from lookalike.catalog import keys
from lookalike.catalog.orphans import Kind
from lookalike.pipeline.collect import collect
from lookalike.pipeline.retention import Retention

BUCKET = "lookalike-collect"
AT_ONCE = Retention(keep_s=0, keep_former=0)


def soon() -> datetime:
    """The server tells times to the second, rounded up."""
    return datetime.now(UTC) + timedelta(seconds=5)


def test_garbage_leaves_a_bucket_and_nothing_else(tmp_path, swift_server: SwiftServer):
    client = Minio(f"127.0.0.1:{swift_server.port}", ACCESS_KEY, SECRET_KEY, secure=False)
    if not client.bucket_exists(BUCKET):
        client.make_bucket(BUCKET)
    tiles = Tiles(
        tmp_path,
        LOOKALIKE_STORAGE__URL=f"s3://{BUCKET}/{tmp_path.name}",
        LOOKALIKE_STORAGE__S3_ENDPOINT=swift_server.url,
        LOOKALIKE_STORAGE__S3_REGION="us-east-1",
        LOOKALIKE_STORAGE__S3_ACCESS_KEY=ACCESS_KEY,
        LOOKALIKE_STORAGE__S3_SECRET_KEY=SECRET_KEY,
    )
    tiles.put(0, 1)
    tiles.take(1)
    leftover = f"galleries/{GALLERY}/indexes/exact-{'0' * 24}/half.bin"
    tiles.at.store.put(leftover, b"of an index that was never finished")
    made = collect(tiles.at, GALLERY, AT_ONCE, now=soon)
    assert {kind: made.deleted[kind].objects for kind in (Kind.IMAGE, Kind.INDEX)} == {Kind.IMAGE: 1, Kind.INDEX: 1}
    assert made.deleted[Kind.VERSION].objects >= 1
    [record] = tiles.at.galleries.records(tiles.at.galleries.version(GALLERY))
    assert (record.key, tiles.at.store.get(keys.image(GALLERY, record.sha256))) == ("00000", tile(0))
    assert leftover not in [info.key for info in tiles.at.store.list(f"galleries/{GALLERY}/")]
    assert collect(tiles.at, GALLERY, AT_ONCE, now=soon).deleted == {}
    tiles.close()
