"""Objects in one tar file: written once from beginning to end, read at any place."""

import io
import os
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from lookalike.errors import DamagedArtifact
from lookalike.storage.keys import check_key
from lookalike.storage.port import ObjectInfo
from lookalike.storage.read_only import ReadOnly, not_there

_CHUNK_BYTES = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)  # POSIX.1-1988, ustar: two blocks of zeros after the last member


class TarWriter(ReadOnly):
    """An :class:`~lookalike.storage.port.ObjectStore` that can be written and forgets what it was given.

    The file appears under its name at the end of the block, complete, and not at all after an exception.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._lock = threading.Lock()
        self._tar = tarfile.open(self._temporary, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 until __exit__

    def __enter__(self) -> "TarWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._tar.close()
            if kind is None:
                with self._temporary.open("rb") as written:
                    os.fsync(written.fileno())
                self._temporary.rename(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def put(self, key: str, data: bytes) -> str:
        self._add(key, len(data), io.BytesIO(data))
        return ""

    def put_file(self, key: str, path: Path) -> str:
        with path.open("rb") as file:
            self._add(key, os.fstat(file.fileno()).st_size, file)
        return ""

    def get(self, key: str) -> bytes:
        raise not_there(key)

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        raise not_there(key)

    def fetch_file(self, key: str, path: Path) -> None:
        raise not_there(key)

    def head(self, key: str) -> ObjectInfo | None:
        return None

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        return iter(())

    def _add(self, key: str, size_bytes: int, source: io.BufferedReader | io.BytesIO) -> None:
        about = tarfile.TarInfo(check_key(key))
        about.size, about.mode, about.mtime = size_bytes, 0o600, int(time.time())
        with self._lock:
            self._tar.addfile(about, source)
            self._tar.members = []  # type: ignore[attr-defined] # it remembers all; nothing here asks for them


class TarReader(ReadOnly):
    """An :class:`~lookalike.storage.port.ObjectStore` over a tar file; memory holds where each object is.

    Any number of threads may read. Raises DamagedArtifact for what is no whole tar file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    if member.isfile():
                        self._places[member.name] = (member.offset_data, member.size)
                    tar.members = []  # type: ignore[attr-defined]
                end = tar.offset
        except tarfile.TarError as error:
            raise DamagedArtifact(f"{path} is no whole tar file: {error}", path=str(path)) from error
        self._file = path.open("rb")
        # tarfile takes a file that ends within a header, or a header that cannot be read, for the end of the archive.
        if os.pread(self._file.fileno(), len(_END), end) != _END:
            self._file.close()
            raise DamagedArtifact(
                f"{path} is no whole tar file: it goes on or breaks off at byte {end}", path=str(path)
            )

    def get(self, key: str) -> bytes:
        return b"".join(self._chunks(key))

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        return self.get(key), ""

    def fetch_file(self, key: str, path: Path) -> None:
        self._place(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("wb") as file:
                for chunk in self._chunks(key):
                    file.write(chunk)
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)

    def head(self, key: str) -> ObjectInfo | None:
        found = self._places.get(key)
        return None if found is None else ObjectInfo(key, found[1], "")

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        for key in sorted(key for key in self._places if key.startswith(prefix) and key > after):
            yield ObjectInfo(key, self._places[key][1], "")

    def close(self) -> None:
        self._file.close()

    def _place(self, key: str) -> tuple[int, int]:
        found = self._places.get(key)
        if found is None:
            raise not_there(key)
        return found

    def _chunks(self, key: str) -> Iterator[bytes]:
        offset, left = self._place(key)
        while left:
            chunk = os.pread(self._file.fileno(), min(left, _CHUNK_BYTES), offset)
            if not chunk:
                raise DamagedArtifact(f"{self._path} ends within {key}", key=key)
            yield chunk
            offset, left = offset + len(chunk), left - len(chunk)
