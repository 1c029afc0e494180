"""Conditional writes on servers that can only refuse to overwrite: claims.

Whoever wants to write over version E of an object creates ``.claims/<digest of its key>/<E>``, with the new bytes in
it, under ``If-None-Match: *``. Exactly one creates it and has thereby won; the winner then writes the object itself.
A reader of an object that was written so looks whether somebody claimed its version, and goes on along the claims
to the last one. So a winner that died before it wrote the object is read all the same, and one that is so slow that it
writes an old version over a newer one does no harm. docs/decisions/0007 has the reasons and the limits.
"""

import io
import time
from contextlib import suppress
from datetime import timedelta

from lookalike.errors import DependencyUnavailable, ObjectNotFound, PreconditionFailed
from lookalike.storage.s3_bucket import Found, S3Bucket
from lookalike.storage.s3_download import download
from lookalike.storage.s3_transport import ConditionNotMet
from lookalike.storage.s3_versions import (
    Written,
    carried,
    descends_from,
    describe,
    etag_of,
    is_claimed,
    is_kept,
    new_token,
    sha256_of,
)

CLAIMS = ".claims/"
ONLY_NEW = ("If-None-Match", "*")
# A claim is deleted when this much older than the newest: then nobody is still at work on what it goes on from.
_KEPT = timedelta(hours=1)
_SWEEP = f"{Written.BY_CLAIM}0"  # the tokens after whose writes the old claims are deleted: one in 16


def folder_of(key: str) -> str:
    """Where the claims on one object are."""
    return f"{CLAIMS}{sha256_of(key.encode())}/"


def claim_of(key: str, etag: str) -> str:
    """The key of the claim on version ``etag`` of the object ``key``."""
    return f"{folder_of(key)}{etag}"


def follow(bucket: S3Bucket, key: str, found: Found) -> Found:
    """The last version of the object ``key``, of which ``found`` was read: itself, or what the last claim holds."""
    while is_claimed(found):
        claim = bucket.stat(claim_of(key, etag_of(found) or ""))
        if claim is None:
            break
        found = claim
    return found


def write_new(bucket: S3Bucket, key: str, data: bytes, how: Written) -> str:
    """Writes the object where there is none. Returns its token; raises PreconditionFailed."""
    token = new_token(how)
    try:
        bucket.put(key, data, describe(sha256_of(data), token), only=ONLY_NEW)
    except ConditionNotMet:
        _lost_unless_ours(bucket, key, token)
    return token


def write_over(bucket: S3Bucket, key: str, data: bytes, former: Found) -> str:
    """Writes the object over its last version ``former``. Returns its token; raises PreconditionFailed."""
    token = new_token(Written.BY_CLAIM)
    described = describe(sha256_of(data), token, former)
    claim = claim_of(key, etag_of(former) or "")
    until = time.monotonic() + bucket.server.timeout_s
    try:
        bucket.put(claim, data, described, only=ONLY_NEW)
    except ConditionNotMet:
        held = bucket.stat(claim)
        if held is None or etag_of(held) != token:  # else it is ours: the answer to our request was lost
            if held is not None and not is_claimed(former):
                _finish(bucket, key, claim)
            raise PreconditionFailed(f"{key} has changed", key=key) from None
    if not is_claimed(former):
        bucket.put(key, data, described)  # readers do not look for a claim yet
    elif time.monotonic() < until:  # later it could come after the claims that say what followed are gone
        with suppress(DependencyUnavailable):  # readers find the claim
            bucket.put(key, data, described)
            if token.startswith(_SWEEP):
                sweep(bucket, key)
    return token


def sweep(bucket: S3Bucket, key: str) -> None:
    """Deletes claims that nobody can need: old ones, on versions that the object does not even remember."""
    found = bucket.stat(key)
    claims = list(bucket.list(folder_of(key)))
    times = [claim.modified for claim in claims if claim.modified is not None]
    if found is None or not times or follow(bucket, key, found) != found:
        return
    for claim in claims:
        if claim.modified is not None and max(times) - claim.modified > _KEPT:
            etag = claim.key.removeprefix(folder_of(key))
            if etag != etag_of(found) and not is_kept(etag, found):
                bucket.remove(claim.key)


def forget(bucket: S3Bucket, key: str) -> None:
    """Deletes all claims on an object that was deleted."""
    for claim in list(bucket.list(folder_of(key))):
        bucket.remove(claim.key)


def _finish(bucket: S3Bucket, key: str, claim: str) -> None:
    """Writes the object for a winner that may have died: over a version that does not send readers to the claims."""
    content = io.BytesIO()
    try:
        held = download(bucket, claim, content)
    except ObjectNotFound:
        return
    bucket.put(key, content.getvalue(), carried(held.metadata))


def _lost_unless_ours(bucket: S3Bucket, key: str, token: str) -> None:
    found = bucket.stat(key)
    if not descends_from(None if found is None else follow(bucket, key, found), token):
        raise PreconditionFailed(f"{key} is there already", key=key)
