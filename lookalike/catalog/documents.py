"""Small JSON objects in the store, as frozen models, and the one way to change a pointer."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from lookalike.errors import DamagedArtifact, ObjectNotFound, PreconditionFailed
from lookalike.storage.port import ObjectStore

_MAX_TRIES = 50


class Document(BaseModel):
    """A value kept as one JSON object. Unknown fields are an error: an older program must not drop them."""

    model_config = ConfigDict(frozen=True, extra="forbid")


D = TypeVar("D", bound=BaseModel)


def encode(document: BaseModel) -> bytes:
    """The document as UTF-8 JSON, the same bytes for the same value."""
    return document.model_dump_json(by_alias=True).encode() + b"\n"


def digest(document: BaseModel) -> str:
    """The first 32 hexadecimal digits of the SHA-256 of :func:`encode`: the name of an immutable document."""
    return hashlib.sha256(encode(document)).hexdigest()[:32]


def decode(kind: type[D], data: bytes, key: str) -> D:
    """Raises DamagedArtifact when ``data`` is not such a document."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise DamagedArtifact(f"{key} is not a {kind.__name__}", key=key, reason=str(error)[:500]) from error


def read(store: ObjectStore, kind: type[D], key: str) -> D:
    """Raises ObjectNotFound or DamagedArtifact."""
    return decode(kind, store.get(key), key)


def read_or_none(store: ObjectStore, kind: type[D], key: str) -> D | None:
    try:
        return read(store, kind, key)
    except ObjectNotFound:
        return None


def change(store: ObjectStore, kind: type[D], key: str, update: Callable[[D | None], D]) -> D:
    """Read, ``update``, write conditionally; again from the start when somebody else wrote in between.

    ``update`` gets the present document (None where there is none) and returns the next one; it may raise to
    leave everything as it is, and must not have effects of its own. Returns what was written.
    """
    for _ in range(_MAX_TRIES):
        try:
            data, etag = store.get_with_etag(key)
            present: D | None = decode(kind, data, key)
        except ObjectNotFound:
            present, etag = None, None
        wanted = update(present)
        if wanted == present:
            return wanted
        try:
            store.put_if(key, encode(wanted), etag=etag)
        except PreconditionFailed:
            continue
        return wanted
    raise PreconditionFailed(f"{key} kept changing under {_MAX_TRIES} tries", key=key)
