"""Which version of an object is which: the tokens that our writes leave in its metadata.

Servers make ETags of content, of parts, or of anything; ours are random and change with every write. A token says by
its first letter how it was written. A conditional write also says which versions it came after: its writer may have
got no answer, and must still find out that it won when somebody else has already written over it.
"""

import hashlib
import uuid
from collections.abc import Mapping
from enum import StrEnum

from lookalike.storage.s3_bucket import Found
from lookalike.storage.s3_download import SHA256

TOKEN, _PAST = "version", "past"
_SHORT = 8  # hexadecimal digits by which a former version is remembered
_REMEMBERED = 30  # of them: 240 characters, where Swift allows 256


class Written(StrEnum):
    """How an object was written: the first letter of its token."""

    PLAINLY = "w"
    BY_CONDITION = "v"  # of the server, If-Match
    BY_CLAIM = "c"  # see lookalike.storage.s3_claims


def new_token(how: Written) -> str:
    """A token that nobody else has."""
    return f"{how}{uuid.uuid4().hex}"


def etag_of(found: Found | None) -> str | None:
    """Our ETag: the token, or the server's ETag of an object that another program wrote."""
    return None if found is None else found.metadata.get(TOKEN, found.server_etag)


def is_claimed(found: Found) -> bool:
    """Whether a claim may exist that goes on from this version."""
    return found.metadata.get(TOKEN, "").startswith(Written.BY_CLAIM)


def describe(data_sha256: str, token: str, former: Found | None = None) -> dict[str, str]:
    """The metadata of a version that was written over ``former``."""
    described = {SHA256: data_sha256, TOKEN: token}
    if former is not None:
        past = [_short(etag_of(former) or ""), *remembered(former)][:_REMEMBERED]
        described[_PAST] = "".join(past)
    return described


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def remembered(found: Found) -> list[str]:
    """The versions before this one, the last first, each by its first digits."""
    past = found.metadata.get(_PAST, "")
    return [past[start : start + _SHORT] for start in range(0, len(past), _SHORT)]


def descends_from(found: Found | None, token: str) -> bool:
    """Whether this is the version ``token`` or was written after it, as far as that is remembered."""
    return found is not None and (etag_of(found) == token or _short(token) in remembered(found))


def is_kept(etag: str, found: Found) -> bool:
    """Whether ``etag`` is among the versions that ``found`` remembers."""
    return _short(etag) in remembered(found)


def _short(etag: str) -> str:
    """Eight digits that stand for a version."""
    return etag[1 : 1 + _SHORT] if len(etag) == 33 else hashlib.sha256(etag.encode()).hexdigest()[:_SHORT]


def carried(metadata: Mapping[str, str]) -> dict[str, str]:
    """What of a claim's metadata the object gets: all that is ours."""
    return {name: metadata[name] for name in (SHA256, TOKEN, _PAST) if name in metadata}
