"""Conditional writes on servers that can only refuse to overwrite: claims.

Whoever wants to write over version E of an object creates ``.claims/<digest of its key>/<E>``, with the new bytes in
it, under ``If-None-Match: *``. The one whose claim stands has won, and then writes the object itself. A reader of an
object that was written so looks whether somebody claimed its version, and goes on along the claims to the last one.
So a winner that died before it wrote the object is read all the same, and one that is so slow that it writes an old
version over a newer one does no harm. docs/decisions/0007 has the reasons and the limits.
"""

import io
import time
from contextlib import suppress
from datetime import timedelta

from lookalike.errors import DependencyUnavailable, ObjectNotFound, PreconditionFailed
from lookalike.storage.s3_bucket import Found, S3Bucket
from lookalike.storage.s3_download import download
from lookalike.storage.s3_race import await_settled, folder_of, race
from lookalike.storage.s3_versions import (
    Written,
    carried,
    descends_from,
    describe,
    etag_of,
    is_claimed,
    is_kept,
    new_token,
    remembered,
    sha256_of,
)

# A claim is deleted when this much older than the newest: then nobody is still at work on what it goes on from.
_KEPT = timedelta(hours=1)
_SWEEP = f"{Written.BY_CLAIM}0"  # the tokens after whose writes the old claims are deleted: one in 16
_NEW = "new"  # what a first version is written over


def claim_of(key: str, etag: str) -> str:
    """The key of the claim on version ``etag`` of the object ``key``."""
    return f"{folder_of(key)}{etag}"


def follow(bucket: S3Bucket, key: str, found: Found) -> Found:
    """The last version of the object ``key``, of which ``found`` was read: itself, or what the last claim holds."""
    while is_claimed(found):
        claim = claim_of(key, etag_of(found) or "")
        held = bucket.stat(claim)
        if held is not None and await_settled(bucket, claim):
            held = bucket.stat(claim)
        if held is None:
            break
        found = held
    return found


def write_new(bucket: S3Bucket, key: str, data: bytes) -> str:
    """Writes the object where there is none. Returns its token; raises PreconditionFailed."""
    token = new_token(Written.BY_CLAIM)
    first = claim_of(key, _NEW)
    if not race(bucket, key, data, describe(sha256_of(data), token), entry=f"{first}.by/{token}"):
        raise PreconditionFailed(f"{key} is there already", key=key)
    await_settled(bucket, first)
    found = bucket.stat(key)
    if found is not None and not descends_from(follow(bucket, key, found), token):
        raise PreconditionFailed(f"{key} is there already", key=key)
    return token


def write_over(bucket: S3Bucket, key: str, data: bytes, former: Found) -> str:
    """Writes the object over its last version ``former``. Returns its token; raises PreconditionFailed."""
    token = new_token(Written.BY_CLAIM)
    described = describe(sha256_of(data), token, former)
    claim = claim_of(key, etag_of(former) or "")
    if is_claimed(former) and not remembered(former) and await_settled(bucket, claim_of(key, _NEW)):
        raise PreconditionFailed(f"{key} was only being written", key=key)
    until = time.monotonic() + bucket.server.timeout_s
    won = race(bucket, claim, data, described, entry=f"{claim}.by/{token}")
    await_settled(bucket, claim)
    if not won or etag_of(bucket.stat(claim)) != token:
        if not is_claimed(former):
            _finish(bucket, key, claim)
        raise PreconditionFailed(f"{key} has changed", key=key)
    if not is_claimed(former):
        bucket.put(key, data, described)  # readers do not look for a claim yet
    elif time.monotonic() < until:  # later it could come after the claims that say what followed are gone
        with suppress(DependencyUnavailable):  # readers find the claim
            bucket.put(key, data, described)
            if token.startswith(_SWEEP):
                sweep(bucket, key)
    return token


def sweep(bucket: S3Bucket, key: str, kept: timedelta = _KEPT) -> None:
    """Deletes claims that nobody can need: over ``kept`` old, on versions that the object does not even remember."""
    found = bucket.stat(key)
    claims = list(bucket.list(folder_of(key)))
    times = [claim.modified for claim in claims if claim.modified is not None]
    if found is None or not times or follow(bucket, key, found) != found:
        return
    for claim in claims:
        if claim.modified is not None and max(times) - claim.modified > kept:
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
