"""Image identifiers: a UUIDv5 of gallery and key, as text outside and as 16 bytes in arrays."""

import hashlib
import uuid
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import InvalidRequest

# Made once for this project with uuid4; it must never change, or every image_id would.
NAMESPACE = uuid.UUID("6f0c1d9e-7a54-4c0b-9a5e-0d2f6b1c8e47")

IdArray: TypeAlias = NDArray[np.uint8]  # [N, 16]


def image_id(gallery: str, key: str) -> str:
    """The identifier of the image under ``key`` in ``gallery`` (RFC 9562, version 5), as lower-case text."""
    return str(uuid.uuid5(NAMESPACE, f"{gallery}/{key}"))


def parse_image_id(text: str) -> str:
    """``text`` in canonical form. Raises InvalidRequest when it is not a UUID."""
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise InvalidRequest(f"not an image_id: {text!r}", image_id=text) from error


def pack_ids(ids: Iterable[str]) -> IdArray:
    """Identifiers as text -> uint8 [N, 16], big-endian, so that byte order equals text order."""
    joined = b"".join(uuid.UUID(value).bytes for value in ids)
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, 16)


def unpack_ids(ids_N16: IdArray) -> list[str]:
    """The inverse of :func:`pack_ids`."""
    return [str(uuid.UUID(bytes=row.tobytes())) for row in np.ascontiguousarray(ids_N16)]


def as_keys(packed: NDArray[np.uint8]) -> NDArray[np.bytes_]:
    """uint8 [N, W] -> [N] of fixed-width byte strings that sort, compare and search like the rows."""
    rows = np.ascontiguousarray(packed)
    return rows.view(f"S{rows.shape[1]}").reshape(-1)


def sha256_hex(data: bytes) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
