"""The bucket of these tests, and the type of the fixture that opens it."""

from collections.abc import Callable

from lookalike.storage.s3_bucket import S3Bucket

BUCKET = "lookalike-unit"
OpenBucket = Callable[..., S3Bucket]
