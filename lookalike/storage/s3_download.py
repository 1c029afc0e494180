"""Objects read from a bucket: streamed, gone on with where a connection broke, and checked."""

import hashlib
import time
from typing import BinaryIO

from lookalike.errors import DamagedArtifact, MissingExtra, PreconditionFailed
from lookalike.storage.s3_bucket import Found, S3Bucket
from lookalike.storage.s3_transport import pauses, reason_of, unavailable
from lookalike.telemetry.declared import STORE_RETRIES
from lookalike.telemetry.metrics import PROCESS

try:
    from urllib3.exceptions import HTTPError
except ImportError as error:
    raise MissingExtra("minio", "s3") from error

SHA256 = "sha256"  # user metadata that every object of ours has
_CHUNK_BYTES = 1 << 20
_MAX_CHANGES = 5


def download(bucket: S3Bucket, key: str, sink: BinaryIO, *, is_ours: bool = True) -> Found:
    """Writes the object to ``sink`` from its start: all of one version, with the length and SHA-256 it was put with.

    What other programs call ``sha256`` in their metadata may be anything: it is checked only where ``is_ours``.
    Raises ObjectNotFound, DamagedArtifact when the bytes are wrong twice, PreconditionFailed when the object keeps
    being replaced, and DependencyUnavailable when nothing more comes. Then ``sink`` holds anything.
    """
    damaged = changes = 0
    while True:
        sink.seek(0)
        sink.truncate()
        try:
            found, sha256 = _copy(bucket, key, sink)
        except PreconditionFailed:  # replaced between two requests
            changes += 1
            if changes == _MAX_CHANGES:
                raise
            continue
        expected = found.metadata.get(SHA256, sha256) if is_ours else sha256
        if sink.tell() == found.size_bytes and expected == sha256:
            return found
        damaged += 1
        if damaged == 2:
            raise DamagedArtifact(f"the stored object {key} does not have its length and digest", key=key)


def _copy(bucket: S3Bucket, key: str, sink: BinaryIO) -> tuple[Found, str]:
    """Copies once; a connection that breaks is followed by another from the same place on."""
    found, response = bucket.open(key)
    digest = hashlib.sha256()
    pausing, since = pauses(), time.monotonic()
    while True:
        try:
            for chunk in response.stream(_CHUNK_BYTES):
                digest.update(chunk)
                sink.write(chunk)
                pausing, since = pauses(), time.monotonic()
            return found, digest.hexdigest()
        except HTTPError as failure:
            pause_s = next(pausing)
            if time.monotonic() + pause_s - since > bucket.server.timeout_s:
                raise unavailable(bucket.server.endpoint, reason_of(failure)) from None
        finally:
            if response.isclosed():
                response.release_conn()
            else:  # what is left of it is nobody's
                response.close()
        time.sleep(pause_s)
        if sink.tell() >= found.size_bytes:  # it broke after the last byte
            return found, digest.hexdigest()
        PROCESS.count(STORE_RETRIES, method="GET")
        _, response = bucket.open(key, offset=sink.tell(), server_etag=found.server_etag)
