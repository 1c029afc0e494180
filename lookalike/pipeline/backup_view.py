"""A backup as the store that it is a copy of, to be read."""

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from lookalike.errors import DamagedArtifact, ObjectNotFound
from lookalike.pipeline.backup_format import BackupManifest, Entry, object_key, read_part
from lookalike.storage.digests import file_sha256
from lookalike.storage.port import ObjectInfo, ObjectStore
from lookalike.storage.read_only import ReadOnly, not_there

_PARTS_IN_MEMORY = 8
_LONG_AGO = datetime.min.replace(tzinfo=UTC)  # nothing in a backup is young


class BackupView(ReadOnly):
    """An :class:`~lookalike.storage.port.ObjectStore`. What is read has its digest, or DamagedArtifact is raised."""

    def __init__(self, place: ObjectStore, manifest: BackupManifest) -> None:
        self._place = place
        self._manifest = manifest
        self._firsts = [part.first_key for part in manifest.parts]
        self._loaded: OrderedDict[int, dict[str, Entry]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str) -> bytes:
        return fetch(self._place, self._entry(key))

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        entry = self._entry(key)
        return fetch(self._place, entry), entry.sha256

    def fetch_file(self, key: str, path: Path) -> None:
        fetch_file(self._place, self._entry(key), path)

    def head(self, key: str) -> ObjectInfo | None:
        try:
            return _info(self._entry(key))
        except ObjectNotFound:
            return None

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        for entry in self.entries(prefix):
            if entry.key > after:
                yield _info(entry)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """The entries whose key starts with ``prefix``, in key order."""
        for number, part in enumerate(self._manifest.parts):
            if part.last_key >= prefix and (part.first_key <= prefix or part.first_key.startswith(prefix)):
                yield from (entry for key, entry in self._part(number).items() if key.startswith(prefix))

    def _entry(self, key: str) -> Entry:
        number = bisect_right(self._firsts, key) - 1
        found = self._part(number).get(key) if number >= 0 else None
        if found is None:
            raise not_there(key)
        return found

    def _part(self, number: int) -> dict[str, Entry]:
        with self._lock:
            found = self._loaded.get(number)
            if found is None:
                entries = read_part(self._place, self._manifest.parts[number])
                found = self._loaded[number] = {entry.key: entry for entry in entries}
                if len(self._loaded) > _PARTS_IN_MEMORY:
                    self._loaded.popitem(last=False)
            return found


def fetch(place: ObjectStore, entry: Entry) -> bytes:
    """The bytes of an entry. Raises DamagedArtifact where they are missing or do not have their digest."""
    try:
        data = place.get(object_key(entry.sha256))
    except ObjectNotFound:
        raise _damaged(entry, "is missing") from None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise _damaged(entry, "does not have its digest")
    return data


def fetch_file(place: ObjectStore, entry: Entry, path: Path) -> None:
    """As :func:`fetch`, into a file, without holding it in memory."""
    try:
        place.fetch_file(object_key(entry.sha256), path)
    except ObjectNotFound:
        raise _damaged(entry, "is missing") from None
    if file_sha256(path) != entry.sha256:
        raise _damaged(entry, "does not have its digest")


def _damaged(entry: Entry, what: str) -> DamagedArtifact:
    return DamagedArtifact(f"{entry.key} in the backup {what}", key=entry.key, sha256=entry.sha256)


def _info(entry: Entry) -> ObjectInfo:
    return ObjectInfo(entry.key, entry.size_bytes, entry.sha256, _LONG_AGO)
