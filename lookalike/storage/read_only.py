"""What stores that are only read have in common: every write is refused."""

from pathlib import Path
from typing import NoReturn

from lookalike.errors import InvalidRequest, ObjectNotFound


class ReadOnly:
    """The writing half of an :class:`~lookalike.storage.port.ObjectStore` that takes no writes."""

    def put(self, key: str, data: bytes) -> str:
        self._refuse(key)

    def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
        self._refuse(key)

    def put_file(self, key: str, path: Path) -> str:
        self._refuse(key)

    def delete(self, key: str) -> None:
        self._refuse(key)

    def local_path(self, key: str) -> Path | None:
        return None

    @staticmethod
    def _refuse(key: str) -> NoReturn:
        raise InvalidRequest(f"this is only read: {key!r:.200} cannot be changed in it", key=key[:200])


def not_there(key: str) -> ObjectNotFound:
    return ObjectNotFound(f"no object {key}", key=key)
