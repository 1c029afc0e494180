"""Writes that succeed only over the version they name, with what the server at hand can do for that."""

import uuid
from typing import Literal, TypeAlias

from lookalike.errors import CapabilityMissing, PreconditionFailed
from lookalike.storage import s3_claims
from lookalike.storage.s3_bucket import Found, S3Bucket
from lookalike.storage.s3_claims import follow
from lookalike.storage.s3_race import CLAIMS, ONLY_NEW
from lookalike.storage.s3_transport import ConditionNotMet, ConditionNotSupported
from lookalike.storage.s3_versions import Written, descends_from, describe, etag_of, new_token, sha256_of

Means: TypeAlias = Literal["native", "claims"]
_NOBODYS_ETAG = '"00000000000000000000000000000000"'


class ConditionalWrites:
    """``means``: ``native`` relies on If-Match, ``claims`` on If-None-Match alone, ``auto`` asks the server once."""

    def __init__(self, bucket: S3Bucket, means: Literal["auto", "native", "claims"]) -> None:
        self._bucket = bucket
        self._means: Means | None = None if means == "auto" else means

    @property
    def knows_native(self) -> bool:
        """Whether no claim can come to be; False also as long as nobody asked."""
        return self._means == "native"

    def current(self, key: str) -> Found | None:
        """The last version of the object."""
        found = self._bucket.stat(key)
        return None if found is None else follow(self._bucket, key, found)

    def write(self, key: str, data: bytes, etag: str | None) -> str:
        """See :meth:`lookalike.storage.port.ObjectStore.put_if`; also raises CapabilityMissing."""
        means = self._means = self._means or probe(self._bucket)
        if etag is None:
            if means == "claims":
                return s3_claims.write_new(self._bucket, key, data)
            return self._write_natively(key, data, None, ONLY_NEW)
        lying = self._bucket.stat(key)
        former = None if lying is None else follow(self._bucket, key, lying)
        if lying is None or former is None or etag_of(former) != etag:
            raise PreconditionFailed(f"{key} has changed", key=key)
        if means == "claims":
            return s3_claims.write_over(self._bucket, key, data, former)
        return self._write_natively(key, data, former, ("If-Match", f'"{lying.server_etag}"'))

    def _write_natively(self, key: str, data: bytes, former: Found | None, only: tuple[str, str]) -> str:
        token = new_token(Written.BY_CONDITION)
        try:
            self._bucket.put(key, data, describe(sha256_of(data), token, former), only=only)
        except ConditionNotMet:
            # Perhaps by ourselves: the first answer was lost and the request sent again.
            if not descends_from(self.current(key), token):
                raise PreconditionFailed(f"{key} has changed", key=key) from None
        return token


def probe(bucket: S3Bucket) -> Means:
    """Which conditions on writes the server keeps, tried on an object of its own.

    Raises CapabilityMissing for a server that overwrites in spite of If-None-Match: nothing can be promoted safely
    there.
    """
    key = f"{CLAIMS}probe-{uuid.uuid4().hex}"
    try:
        for _ in range(2):  # of which the second must be refused
            try:
                bucket.put(key, b"", {}, only=ONLY_NEW)
            except ConditionNotMet:
                break
        else:
            raise _unsafe(bucket)
        try:
            bucket.put(key, b"", {}, only=("If-Match", _NOBODYS_ETAG))
        except ConditionNotMet:
            return "native"
        except ConditionNotSupported:
            return "claims"
        return "claims"  # it overwrote: it passes over the header
    except ConditionNotSupported:
        raise _unsafe(bucket) from None
    finally:
        bucket.remove(key)


def _unsafe(bucket: S3Bucket) -> CapabilityMissing:
    return CapabilityMissing(
        f"the object store at {bucket.server.endpoint} does not keep If-None-Match on writes: two at once could "
        "destroy each other's work; use a server that does (AWS S3, MinIO, Ceph, R2, Swift)"
    )
