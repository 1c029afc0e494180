"""The object store that holds the truth; adapters are beside this file, their contract in tests/contracts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class ObjectInfo:
    """``etag`` changes whenever the bytes do; nothing else may be read into it.

    ``modified_at`` is when the object was last written, by the store's clock, in UTC; None where the store can't say.
    """

    key: str
    size_bytes: int
    etag: str
    modified_at: datetime | None = None


class ObjectStore(Protocol):
    """Named byte strings.

    Keys are ``/``-separated, without empty, ``.`` or ``..`` segments, at most 900 bytes of UTF-8; any other
    raises InvalidRequest. A write is complete or invisible: a reader, or a process killed in the middle,
    never sees or leaves a part of an object under its key. Methods may be called from several threads and
    processes at once. DependencyUnavailable means that the store did not answer.
    """

    def get(self, key: str) -> bytes:
        """The whole object. Raises ObjectNotFound."""
        ...

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        """The object and the ETag of exactly these bytes. Raises ObjectNotFound."""
        ...

    def put(self, key: str, data: bytes) -> str:
        """Writes or replaces; the last of two writers wins. Returns the new ETag."""
        ...

    def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
        """Writes only over the version ``etag``, or only where nothing is when ``etag`` is None.

        Of several that try at once with the same ETag exactly one succeeds, the others raise
        PreconditionFailed and change nothing. Returns the new ETag. A lost answer is no error: it is found out
        whether the write happened. After DependencyUnavailable alone nobody knows.

        An object that some write with this is not written with :meth:`put`, nor deleted, at the same time: the
        last of them is then any of them.
        """
        ...

    def put_file(self, key: str, path: Path) -> str:
        """Like :meth:`put` for the file at ``path``, without holding it in memory."""
        ...

    def fetch_file(self, key: str, path: Path) -> None:
        """Copies the object to ``path``, complete or not at all. Raises ObjectNotFound."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """What is known of the object, or None where there is none."""
        ...

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with ``prefix``, in the order of their keys (by code point).

        Only those whose key is greater than ``after``; what is skipped so costs nothing.
        Their ETags compare with those of other listings; :meth:`put_if` takes those of the other methods.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes the object; nothing happens where there is none."""
        ...

    def local_path(self, key: str) -> Path | None:
        """The file that holds the object, to be read or mapped but never written, where it is on this machine."""
        ...
