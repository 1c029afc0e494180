"""Objects of a bucket that other programs wrote: to be listed and read, never written."""

from collections.abc import Iterator
from typing import BinaryIO

from lookalike.storage.s3_bucket import Found, S3Bucket
from lookalike.storage.s3_download import download


class S3Objects:
    """A bucket as a source of images (:class:`lookalike.galleries.s3_prefix.BucketObjects`)."""

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket

    def list(self, prefix: str) -> Iterator[Found]:
        """Objects whose key starts with ``prefix``, by key."""
        return self._bucket.list(prefix)

    def download(self, key: str, sink: BinaryIO) -> Found:
        """See :func:`lookalike.storage.s3_download.download`."""
        return download(self._bucket, key, sink, is_ours=False)

    def close(self) -> None:
        """Closes the connections."""
        self._bucket.close()
