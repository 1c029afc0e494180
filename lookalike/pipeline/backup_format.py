"""What a backup looks like where it is kept.

``objects/<ab>/<sha256>`` are the bytes, each once however many backups have them. ``entries/<sha256>.jsonl`` are the
lists of what lies under which key, in parts of some thousand keys, so that a backup of what hardly changed shares most
of its lists with the former one. ``backups/<backup_id>.json``, written last, makes a backup.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator

from pydantic import Field

from lookalike.catalog import documents
from lookalike.catalog.documents import Document
from lookalike.errors import BackupNotFound, DamagedArtifact, NewerFormat, ObjectNotFound
from lookalike.jobs.formats import Formatted
from lookalike.storage.port import ObjectStore

BACKUPS, ENTRIES, OBJECTS = "backups/", "entries/", "objects/"
MAX_PART_ENTRIES = 4096
_BOUNDARY_BITS = 10

_log = logging.getLogger(__name__)


class Entry(Document):
    """One object of the store. ``etag`` is that of the store's listings, where it was copied from one."""

    key: str
    sha256: str
    size_bytes: int
    etag: str | None = None


class EntryPart(Document):
    """Some of a backup's entries; ``first_key`` and ``last_key`` are inclusive, ``digest`` is of its JSON lines."""

    digest: str
    num_entries: int
    first_key: str
    last_key: str


class GallerySummary(Document):
    """What a backup has of a gallery, in short; ``live`` has the backends of each live model."""

    version_id: str
    num_images: int
    live: dict[str, list[str]] = Field(default_factory=dict)
    sequence: int | None = None


class BackupManifest(Formatted):
    """``backups/<backup_id>.json``. ``new_objects`` and ``new_bytes`` are what no backup before it had.

    ``with_indexes`` is false where the files of indexes were left out: a restore builds them. ``damaged`` says what of
    the store could not be copied because it is missing or not what it was, at most the first thousand.
    """

    backup_id: str
    began_at: str
    ended_at: str
    made_by: str
    with_indexes: bool
    galleries: dict[str, GallerySummary]
    num_objects: int
    size_bytes: int
    new_objects: int
    new_bytes: int
    parts: tuple[EntryPart, ...]
    damaged: tuple[str, ...] = ()


def object_key(sha256: str) -> str:
    return f"{OBJECTS}{sha256[:2]}/{sha256}"


def entry_part_key(digest: str) -> str:
    return f"{ENTRIES}{digest}.jsonl"


def manifest_key(backup_id: str) -> str:
    return f"{BACKUPS}{backup_id}.json"


def list_backups(place: ObjectStore) -> list[BackupManifest]:
    """All complete backups, the newest first. Raises NewerFormat, DamagedArtifact."""
    return [documents.read(place, BackupManifest, key) for key in manifest_keys(place)]


def manifest_keys(place: ObjectStore) -> list[str]:
    """Those of all complete backups, the newest first."""
    return [info.key for info in place.list(BACKUPS) if info.key.endswith(".json")][::-1]


def find_backup(place: ObjectStore, backup_id: str | None) -> BackupManifest:
    """The backup of that name, or the newest. Raises BackupNotFound, NewerFormat, DamagedArtifact."""
    if backup_id is not None:
        try:
            return documents.read(place, BackupManifest, manifest_key(backup_id))
        except ObjectNotFound:
            raise BackupNotFound(f"there is no backup {backup_id!r:.100}", backup=backup_id[:100]) from None
    newest = next(iter(manifest_keys(place)), None)
    if newest is None:
        raise BackupNotFound("there is no complete backup")
    return documents.read(place, BackupManifest, newest)


def newest_readable(place: ObjectStore) -> BackupManifest | None:
    """The newest backup, whose bytes the next need not copy; None where there is none, or it cannot be read."""
    try:
        return find_backup(place, None)
    except BackupNotFound:
        return None
    except (DamagedArtifact, NewerFormat) as error:
        _log.warning("what the former backup has is read again: %s", error.message)
        return None


def read_part(place: ObjectStore, part: EntryPart) -> list[Entry]:
    """Raises DamagedArtifact where the list is missing or is not the one that was written."""
    key = entry_part_key(part.digest)
    try:
        data = place.get(key)
    except ObjectNotFound:
        raise DamagedArtifact(f"{key} of the backup is missing", key=key) from None
    if hashlib.sha256(data).hexdigest() != part.digest:
        raise DamagedArtifact(f"{key} of the backup does not have its digest", key=key)
    return [documents.decode(Entry, line, key) for line in data.splitlines()]


def read_entries(place: ObjectStore, manifest: BackupManifest) -> Iterator[Entry]:
    """All entries in the order of their keys, a part at a time in memory. Raises DamagedArtifact."""
    for part in manifest.parts:
        yield from read_part(place, part)


def write_entries(entries: Iterable[Entry], put: Callable[[str, bytes], object]) -> Iterator[EntryPart]:
    """Writes ``entries``, which come in key order, in parts; ``put`` is given the key and bytes of each.

    A part ends after a key whose digest ends in ten zero bits, or when it is full: equal stretches of two backups give
    equal parts, wherever they begin.
    """
    pending: list[Entry] = []
    for entry in entries:
        pending.append(entry)
        if len(pending) == MAX_PART_ENTRIES or _ends_part(entry.key):
            yield _write_part(pending, put)
            pending = []
    if pending:
        yield _write_part(pending, put)


def _ends_part(key: str) -> bool:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[-2:], "big") & ((1 << _BOUNDARY_BITS) - 1) == 0


def _write_part(entries: list[Entry], put: Callable[[str, bytes], object]) -> EntryPart:
    data = b"".join(documents.encode(entry) for entry in entries)
    digest = hashlib.sha256(data).hexdigest()
    put(entry_part_key(digest), data)
    return EntryPart(digest=digest, num_entries=len(entries), first_key=entries[0].key, last_key=entries[-1].key)
