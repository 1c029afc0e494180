"""The object store in a bucket of an S3 server: AWS, MinIO, Ceph, Swift and others."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

from lookalike.errors import DependencyUnavailable, InvalidRequest, ObjectNotFound, PreconditionFailed
from lookalike.storage.digests import file_sha256
from lookalike.storage.keys import check_key
from lookalike.storage.port import ObjectInfo
from lookalike.storage.s3_bucket import Found, S3Bucket
from lookalike.storage.s3_claims import follow, forget
from lookalike.storage.s3_conditional import ConditionalWrites
from lookalike.storage.s3_download import download
from lookalike.storage.s3_race import CLAIMS
from lookalike.storage.s3_versions import Written, descends_from, describe, etag_of, is_claimed, new_token, sha256_of

_TRIES = 5


class S3Store:
    """An :class:`~lookalike.storage.port.ObjectStore` in ``bucket``, which exists.

    What is read has the SHA-256 with which it was written, or DamagedArtifact is raised. An ETag is a random token of
    each write, kept in the object's metadata. Keys below ``.claims/`` are the store's own.
    """

    def __init__(self, bucket: S3Bucket, *, conditional: Literal["auto", "native", "claims"] = "auto") -> None:
        self._bucket = bucket
        self._conditional = ConditionalWrites(bucket, conditional)

    def get(self, key: str) -> bytes:
        return self.get_with_etag(key)[0]

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        content = io.BytesIO()
        found = self._read(key, content)
        return content.getvalue(), etag_of(found) or ""

    def put(self, key: str, data: bytes) -> str:
        token = new_token(Written.PLAINLY)
        self._bucket.put(_checked(key), data, describe(sha256_of(data), token))
        return token

    def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
        return self._conditional.write(_checked(key), data, etag)

    def put_file(self, key: str, path: Path) -> str:
        token = new_token(Written.PLAINLY)
        described = describe(file_sha256(path), token)
        for _ in range(_TRIES):
            try:
                self._bucket.put_file(_checked(key), path, described)
            except PreconditionFailed:  # the upload is gone: complete, and only the answer was lost, or given up
                if not descends_from(self._bucket.stat(key), token):
                    continue
            return token
        raise DependencyUnavailable(f"the object store kept forgetting the upload of {key}", dependency="store")

    def fetch_file(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("wb") as file:
                self._read(key, file)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)

    def head(self, key: str) -> ObjectInfo | None:
        found = self._conditional.current(_checked(key))
        return None if found is None else ObjectInfo(key, found.size_bytes, etag_of(found) or "", found.modified)

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        for found in self._bucket.list(prefix, after):
            if not found.key.startswith(CLAIMS):
                yield ObjectInfo(found.key, found.size_bytes, found.server_etag, found.modified)

    def delete(self, key: str) -> None:
        may_be_claimed = not self._conditional.knows_native
        found = self._bucket.stat(_checked(key)) if may_be_claimed else None
        self._bucket.remove(_checked(key))
        if found is not None and is_claimed(found):
            forget(self._bucket, key)

    def local_path(self, key: str) -> Path | None:
        _checked(key)
        return None

    def close(self) -> None:
        """Closes the connections."""
        self._bucket.close()

    def _read(self, key: str, sink: BinaryIO) -> Found:
        """Writes the last version to ``sink``."""
        for _ in range(_TRIES):
            found = download(self._bucket, _checked(key), sink)
            last = follow(self._bucket, key, found)
            if last is found:
                return found
            try:
                download(self._bucket, last.key, sink)
            except ObjectNotFound:  # swept or deleted meanwhile: the object itself knows more by now
                continue
            return last
        raise DependencyUnavailable(f"{key} keeps changing", dependency="store")


def _checked(key: str) -> str:
    if check_key(key).startswith(CLAIMS):
        raise InvalidRequest(f"keys below {CLAIMS} are the store's own: {key!r:.200}", key=key[:200])
    return key
