"""Which of several creators of one object has won, on servers whose ``If-None-Match: *`` looks first and writes later.

Swift does: two requests that both found nothing both write, and the later one stays. So a creator first enters the
race, by an object of its own beside the one to be created, and leaves it when its request is over. A creator that
finds nobody in the race after its own request knows that what stands is final: whoever enters later finds it and is
refused. Otherwise it waits for those that are in it.
"""

import time
from collections.abc import Mapping
from contextlib import suppress

from lookalike.errors import DependencyUnavailable
from lookalike.storage.s3_bucket import S3Bucket
from lookalike.storage.s3_transport import ConditionNotMet
from lookalike.storage.s3_versions import TOKEN, descends_from, sha256_of

CLAIMS = ".claims/"
ONLY_NEW = ("If-None-Match", "*")
# Who is longer in a race has died in it: a server works on one small request for less than this.
_LONGEST_S = 10.0
_LOOK_EVERY_S = 0.02


def folder_of(key: str) -> str:
    """Where the claims on one object are, and the races for them."""
    return f"{CLAIMS}{sha256_of(key.encode())}/"


def race(bucket: S3Bucket, key: str, data: bytes, described: Mapping[str, str], *, entry: str) -> bool:
    """Creates ``key``; False when it was refused. True is final only after :func:`await_settled`."""
    bucket.put(entry, b"", {})
    try:
        bucket.put(key, data, described, only=ONLY_NEW)
        created = True
    except ConditionNotMet:
        # Perhaps by our own first request, whose answer was lost.
        created = descends_from(bucket.stat(key), described[TOKEN])
    # Not where no answer came: the server may still be at it, and the others wait as for one that died.
    with suppress(DependencyUnavailable):
        bucket.remove(entry)
    return created


def await_settled(bucket: S3Bucket, claim: str) -> bool:
    """Returns when nobody is in the race for ``claim`` that was in it at first. Whether there was anybody."""
    waited_for = {found.key for found in bucket.list(f"{claim}.by/")}
    if not waited_for:
        return False
    until = time.monotonic() + _LONGEST_S
    while waited_for and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)
        waited_for &= {found.key for found in bucket.list(f"{claim}.by/")}
    for dead in waited_for:
        bucket.remove(dead)
    return True
