"""Which keys the object store accepts."""

from lookalike.errors import InvalidRequest

MAX_KEY_BYTES = 900


def check_key(key: str) -> str:
    """``key`` itself. Raises InvalidRequest unless it is a plain relative path with ``/``."""
    encoded = key.encode("utf-8", errors="replace")
    segments = key.split("/")
    if (
        not key
        or len(encoded) > MAX_KEY_BYTES
        or "\\" in key
        or any(segment in ("", ".", "..") or len(segment.encode()) > 250 for segment in segments)
        or any(ord(char) < 32 for char in key)
    ):
        raise InvalidRequest(f"not an object key: {key!r:.200}", key=key[:200])
    return key
