"""One object of the store -> its bytes in a place of backups, unless they are there, and what is said of them."""

import logging
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from lookalike.catalog import keys
from lookalike.errors import DamagedArtifact, ObjectNotFound
from lookalike.pipeline.backup_format import BackupManifest, Entry, object_key, read_entries
from lookalike.pipeline.backup_known import Digests
from lookalike.storage.digests import file_sha256
from lookalike.storage.port import ObjectStore

_IN_MEMORY_BYTES = 1 << 20
_MAX_NAMED = 1000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Item:
    """One object to be in a backup: as it is listed, as bytes, or as an entry that is there already."""

    key: str
    size_bytes: int = 0
    etag: str | None = None
    expected: str | None = None  # of its SHA-256, the beginning
    data: bytes | None = None
    entry: Entry | None = None


class Moved(Exception):
    """What a backup was to hold is gone, or another: the moment must be taken anew."""


@dataclass
class Copier:
    """Copies from ``store`` to ``place``, which has the ``known`` digests; any number of threads may use one.

    ``is_tolerant``: what cannot be copied is left out and named in ``damaged``; else it raises :class:`Moved`.
    """

    store: ObjectStore
    place: ObjectStore
    scratch: Path
    known: Digests
    is_tolerant: bool
    damaged: list[str] = field(default_factory=list)
    new_objects: int = 0
    new_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def copy(self, item: Item, former: Entry | None) -> Entry | None:
        """The item's entry, once its bytes are in the place; None where it is left out.

        ``former`` is what a backup of this place has under the same key.
        """
        if item.entry is not None:
            return item.entry
        if item.data is not None:
            return Entry(key=item.key, sha256=self.keep(item.data), size_bytes=len(item.data))
        if former is not None and former.sha256 in self.known and _is_same(item, former):
            return former.model_copy(update={"etag": item.etag})
        if item.expected is not None and len(item.expected) == 64 and item.expected in self.known:
            return Entry(key=item.key, sha256=item.expected, size_bytes=item.size_bytes, etag=item.etag)
        try:
            digest, size_bytes = self._copied(item)
        except ObjectNotFound:
            if not _may_go(item.key):
                self.lacks(f"{item.key} is gone")
            return None
        except DamagedArtifact as error:
            self.lacks(error.message)
            return None
        return Entry(key=item.key, sha256=digest, size_bytes=size_bytes, etag=item.etag)

    def keep(self, data: bytes) -> str:
        """The digest of ``data``, which is in the place now."""
        digest = sha256(data).hexdigest()
        if digest not in self.known:
            self.place.put(object_key(digest), data)
            self._count(len(data))
        return digest

    def lacks(self, reason: str) -> None:
        """Something is not what it should be: another moment may help, and else it is left out."""
        if not self.is_tolerant:
            raise Moved(reason)
        _log.warning("the backup is not whole: %s", reason)
        with self._lock:
            if len(self.damaged) < _MAX_NAMED:
                self.damaged.append(reason)

    def _copied(self, item: Item) -> tuple[str, int]:
        if item.size_bytes <= _IN_MEMORY_BYTES:
            data = self.store.get(item.key)
            _check(item, sha256(data).hexdigest())
            return self.keep(data), len(data)
        # What is named by its digest never changes; anything else may, between two looks at its file.
        here = None if item.expected is None else self.store.local_path(item.key)
        if here is not None:
            return self._copied_file(item, here)
        fetched = self.scratch / uuid.uuid4().hex
        try:
            self.store.fetch_file(item.key, fetched)
            return self._copied_file(item, fetched)
        finally:
            fetched.unlink(missing_ok=True)

    def _copied_file(self, item: Item, path: Path) -> tuple[str, int]:
        try:
            digest, size_bytes = file_sha256(path), path.stat().st_size
            _check(item, digest)
            if digest not in self.known:
                self.place.put_file(object_key(digest), path)
                self._count(size_bytes)
        except FileNotFoundError as error:
            raise ObjectNotFound(f"no object {item.key}", key=item.key) from error
        return digest, size_bytes

    def _count(self, size_bytes: int) -> None:
        with self._lock:
            self.new_objects += 1
            self.new_bytes += size_bytes


@dataclass
class Former:
    """The backup before, whose entries are met in key order; ``is_readable`` until one of its lists was not."""

    place: ObjectStore
    manifest: BackupManifest | None
    is_readable: bool = True

    def beside(self, items: Iterable[Item]) -> Iterator[tuple[Item, Entry | None]]:
        """Each item, and what the backup has under its key."""
        entries = self._entries()
        following = next(entries, None)
        for item in items:
            while following is not None and following.key < item.key:
                following = next(entries, None)
            yield item, following if following is not None and following.key == item.key else None

    def _entries(self) -> Iterator[Entry]:
        if self.manifest is not None:
            try:
                yield from read_entries(self.place, self.manifest)
            except DamagedArtifact as error:
                _log.warning("what the former backup has is read again: %s", error.message)
                self.is_readable = False


def _is_same(item: Item, former: Entry) -> bool:
    """Whether an object that was copied then is what is listed now."""
    if item.size_bytes != former.size_bytes:
        return False
    if item.expected is not None:
        return former.sha256.startswith(item.expected)
    # Keys are changed conditionally, which on some S3 servers a listing does not show at once.
    return item.etag is not None and item.etag == former.etag and not item.key.startswith(keys.ACCESS_KEYS)


def _check(item: Item, digest: str) -> None:
    if item.expected is not None and not digest.startswith(item.expected):
        raise DamagedArtifact(f"{item.key} does not have its digest", key=item.key)


def _may_go(key: str) -> bool:
    """Whether an object may leave the store without anything that needs it."""
    if key.startswith(keys.MODELS):
        return False
    return not key.startswith(keys.GALLERIES) or key.split("/")[2] == "failures"
