"""The records of one gallery version in SQLite on this machine: by id, by filter, by page.

A cache of the record parts in the store. Following the gallery to another version touches only the parts that
differ. Filters become SQL with exactly the meaning of ``lookalike.types.filters.matches``.
"""

import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.filter_sql import where
from lookalike.catalog.galleries import GalleryVersion
from lookalike.catalog.records import read_part
from lookalike.storage.port import ObjectStore
from lookalike.types.filters import Filter, field_values
from lookalike.types.ids import as_keys
from lookalike.types.images import ImageRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS part (digest TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS version (version_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS image (
    image_id BLOB PRIMARY KEY, part TEXT NOT NULL, key TEXT NOT NULL, sha256 BLOB NOT NULL, record TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS image_part ON image (part);
CREATE UNIQUE INDEX IF NOT EXISTS image_key ON image (key);
CREATE INDEX IF NOT EXISTS image_sha256 ON image (sha256);
CREATE TABLE IF NOT EXISTS value (
    field TEXT NOT NULL, value ANY, kind TEXT NOT NULL, image_id BLOB NOT NULL, part TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS value_field ON value (field, kind, value);
CREATE INDEX IF NOT EXISTS value_part ON value (part);
"""
_FIELDS = ("subcategories", "supercategories", "subcategory", "supercategory")


class RecordTable:
    """One gallery's records. Safe to use from several threads; each has its own connection."""

    def __init__(self, path: Path, store: ObjectStore) -> None:
        self._path = path
        self._store = store
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._items: tuple[str | None, NDArray[np.uint8]] = (None, np.zeros((0, 48), np.uint8))
        self._lock = threading.Lock()
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(_SCHEMA)

    def follow(self, version: GalleryVersion) -> None:
        """Makes the table hold ``version``; readers see the former or the new one, nothing between."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            have = {row[0] for row in connection.execute("SELECT digest FROM part")}
            want = {part.digest: part for part in version.parts}
            for digest in have - want.keys():
                for table in ("image", "value"):
                    connection.execute(f"DELETE FROM {table} WHERE part = ?", (digest,))  # noqa: S608 -- constants
                connection.execute("DELETE FROM part WHERE digest = ?", (digest,))
            for digest in want.keys() - have:
                self._insert(connection, digest, read_part(self._store, version.gallery, want[digest]))
            connection.execute("DELETE FROM version")
            connection.execute("INSERT INTO version VALUES (?)", (version.version_id,))

    @property
    def version_id(self) -> str | None:
        """The gallery version that the table holds."""
        row = self._connection().execute("SELECT version_id FROM version").fetchone()
        return None if row is None else str(row[0])

    def __len__(self) -> int:
        return int(self._connection().execute("SELECT count(*) FROM image").fetchone()[0])

    def get(self, ids: Sequence[bytes]) -> dict[bytes, ImageRecord]:
        """The records of those of ``ids`` (16 bytes each) that are in the gallery."""
        found: dict[bytes, ImageRecord] = {}
        for start in range(0, len(ids), 500):
            chunk = ids[start : start + 500]
            marks = ",".join("?" * len(chunk))
            query = f"SELECT image_id, record FROM image WHERE image_id IN ({marks})"  # noqa: S608 -- only marks
            for identifier, record in self._connection().execute(query, chunk):
                found[identifier] = ImageRecord.model_validate_json(record)
        return found

    def by_key(self, key: str) -> ImageRecord | None:
        row = self._connection().execute("SELECT record FROM image WHERE key = ?", (key,)).fetchone()
        return None if row is None else ImageRecord.model_validate_json(row[0])

    def by_sha256(self, digest: str) -> str | None:
        """The image_id of an image with exactly these bytes, the first by id."""
        query = "SELECT image_id FROM image WHERE sha256 = ? ORDER BY image_id LIMIT 1"
        row = self._connection().execute(query, (bytes.fromhex(digest),)).fetchone()
        return None if row is None else str(uuid.UUID(bytes=row[0]))

    def items(self) -> NDArray[np.uint8]:
        """Every image as uint8 ``[N, 48]`` (image_id and SHA-256), sorted, read-only; kept until the next version."""
        with self._connection() as connection:
            connection.execute("BEGIN")  # so that items and version are of one state, whoever follows meanwhile
            version_id = self.version_id
            kept_version, items_N48 = self._items
            if version_id is None or kept_version != version_id:
                # The index on sha256 holds both columns and is a tenth of the table.
                rows = connection.execute("SELECT image_id, sha256 FROM image INDEXED BY image_sha256")
                items_N48 = np.frombuffer(bytearray().join(chain.from_iterable(rows)), np.uint8).reshape(-1, 48)
                as_keys(items_N48).sort()  # in place: as_keys is a view
                items_N48.flags.writeable = False
                self._items = (version_id, items_N48)
        return items_N48

    def matching(self, condition: Filter) -> NDArray[np.bytes_]:
        """The ids of the images that satisfy ``condition``: ``S16 [M]``, sorted."""
        sql, values = where(condition)
        query = f"SELECT image_id FROM image WHERE {sql} ORDER BY image_id"  # noqa: S608 -- values are bound
        joined = b"".join(row[0] for row in self._connection().execute(query, values))
        return as_keys(np.frombuffer(joined, dtype=np.uint8).reshape(-1, 16))

    def page(self, *, limit: int, after: str | None = None, condition: Filter | None = None) -> list[ImageRecord]:
        """Up to ``limit`` records with a key beyond ``after``, in key order."""
        sql, values = ("1", []) if condition is None else where(condition)
        query = f"SELECT record FROM image WHERE key > ? AND ({sql}) ORDER BY key LIMIT ?"  # noqa: S608 -- bound
        rows = self._connection().execute(query, ["" if after is None else after, *values, limit])
        return [ImageRecord.model_validate_json(row[0]) for row in rows]

    def records(self) -> Iterator[tuple[bytes, ImageRecord]]:
        """Every image_id with its record, by id."""
        for identifier, record in self._connection().execute("SELECT image_id, record FROM image ORDER BY image_id"):
            yield identifier, ImageRecord.model_validate_json(record)

    def label_counts(self) -> dict[str, dict[str, int]]:
        """How many images have each label, by level: fields of the one label."""
        counts: dict[str, dict[str, int]] = {"subcategory": {}, "supercategory": {}}
        query = "SELECT field, value, count(*) FROM value WHERE field IN ('subcategory', 'supercategory') GROUP BY 1, 2"
        for field, value, number in self._connection().execute(query):
            counts[field][value] = number
        return counts

    def close(self) -> None:
        """Closes every thread's connection."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def delete(self) -> None:
        """Closes the table and removes its files."""
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _insert(self, connection: sqlite3.Connection, digest: str, part: list[ImageRecord]) -> None:
        images: list[tuple[object, ...]] = []
        values: list[tuple[object, ...]] = []
        for record in part:
            identifier = bytes.fromhex(record.image_id.replace("-", ""))
            as_json = record.model_dump_json(exclude_defaults=True)
            images.append((identifier, digest, record.key, bytes.fromhex(record.sha256), as_json))
            fields = (*_FIELDS, *(f"metadata.{name}" for name in record.metadata))
            for field in fields:
                values.extend((field, *_sql_value(value), identifier, digest) for value in field_values(record, field))
        connection.execute("INSERT INTO part VALUES (?)", (digest,))
        connection.executemany("INSERT INTO image VALUES (?, ?, ?, ?, ?)", images)
        connection.executemany("INSERT INTO value VALUES (?, ?, ?, ?, ?)", values)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._path, timeout=60, check_same_thread=False)
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection


def _sql_value(value: object) -> tuple[object, str]:
    """A metadata value and its kind; booleans are their own kind, so that ``true`` is never ``1``."""
    match value:
        case bool():
            return int(value), "bool"
        case int() | float():
            return value, "number"  # SQLite compares its 64-bit integers and doubles exactly
        case _:
            return str(value), "text"
