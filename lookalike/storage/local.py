"""The object store in a local folder.

An object is a file whose path below the root is its key. Every write goes to a file of its own in
``.incoming`` and is renamed into place, so that a kill at any moment leaves either the former object or the
new one. The rename is not synced to the disk: a process can die at any time without loss, a power failure
can lose the last seconds.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from lookalike.errors import ObjectNotFound, PreconditionFailed
from lookalike.storage.keys import check_key
from lookalike.storage.port import ObjectInfo

_INCOMING = ".incoming"
_LOCKS = ".locks"


class LocalStore:
    """An :class:`~lookalike.storage.port.ObjectStore` in the folder ``root``, which is made when missing.

    The ETag of an object up to 1 MiB (pointers and manifests, the ones that are written conditionally) is the
    SHA-256 of its bytes; that of a larger one is made of inode, size and mtime, so that it costs nothing. Listings
    have ETags of the latter kind only and open no file: they compare with each other.
    """

    _HASHED_BYTES = 1 << 20

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        for folder in (_INCOMING, _LOCKS):
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectNotFound(f"no object {key}", key=key) from None

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        try:
            with self._path(key).open("rb") as file:
                data = file.read()
                return data, self._etag(os.fstat(file.fileno()), data)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectNotFound(f"no object {key}", key=key) from None

    def put(self, key: str, data: bytes) -> str:
        target = self._path(key)
        with self._incoming() as temporary:
            temporary.write_bytes(data)
            status = temporary.stat()
            self._name(temporary, target)
        return self._etag(status, data)

    def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
        check_key(key)
        lock = self._root / _LOCKS / hashlib.sha256(key.encode()).hexdigest()[:32]
        with lock.open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            found = self.head(key)
            if (found.etag if found else None) != etag:
                raise PreconditionFailed(f"{key} has changed", key=key)
            return self.put(key, data)

    def put_file(self, key: str, path: Path) -> str:
        target = self._path(key)
        with self._incoming() as temporary:
            shutil.copyfile(path, temporary)
            etag = self._etag_of(temporary)
            self._name(temporary, target)
        return etag

    def fetch_file(self, key: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            shutil.copyfile(self._path(key), temporary)
            temporary.rename(path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise ObjectNotFound(f"no object {key}", key=key) from None
        finally:
            temporary.unlink(missing_ok=True)

    def head(self, key: str) -> ObjectInfo | None:
        path = self._path(key)
        try:
            if not path.is_file():
                return None
            status = path.stat()
            modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
            return ObjectInfo(key, status.st_size, self._etag_of(path), modified_at)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        folder = prefix.rpartition("/")[0]
        if ".." in folder.split("/"):
            return  # no key is there
        for key, status in _files_in_key_order(self._root, folder, prefix, after):
            modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
            yield ObjectInfo(key, status.st_size, _stamp(status), modified_at)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if path.is_file():
                path.unlink()

    def local_path(self, key: str) -> Path | None:
        path = self._path(key)
        return path if path.is_file() else None

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextlib.contextmanager
    def _incoming(self) -> Iterator[Path]:
        temporary = self._root / _INCOMING / uuid.uuid4().hex
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @staticmethod
    def _name(temporary: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(target)

    def _etag_of(self, path: Path) -> str:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            return self._etag(status, file.read() if status.st_size <= self._HASHED_BYTES else None)

    def _etag(self, status: os.stat_result, data: bytes | None) -> str:
        if data is not None and len(data) <= self._HASHED_BYTES:
            return hashlib.sha256(data).hexdigest()
        return _stamp(status)


def _stamp(status: os.stat_result) -> str:
    """Another for each write, which makes a file of its own; the same for each look at one."""
    return f"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"


def _files_in_key_order(root: Path, folder: str, prefix: str, after: str) -> Iterator[tuple[str, os.stat_result]]:
    """Keys below ``folder`` that start with ``prefix`` and come after ``after``, in order, without hidden folders.

    The object ``prefix`` itself comes before any folder is read: to look for one object costs what one costs.
    """
    exact = prefix.rpartition("/")[2]
    if exact and not exact.startswith(".") and prefix > after:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = (root / prefix).stat()
            if stat.S_ISREG(status.st_mode):
                yield prefix, status
    try:
        entries = list(os.scandir(root / folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    start = f"{folder}/" if folder else ""
    named = [(f"{start}{entry.name}/" if entry.is_dir() else f"{start}{entry.name}", entry) for entry in entries]
    for key, entry in sorted(named, key=lambda pair: pair[0]):
        if key.endswith("/"):
            if not entry.name.startswith(".") and key.startswith(prefix) and (key > after or after.startswith(key)):
                yield from _files_in_key_order(root, key[:-1], key, after)
        elif key.startswith(prefix) and key != prefix and key > after:
            with contextlib.suppress(FileNotFoundError):  # deleted since
                yield key, entry.stat()
