"""Sorting more images than fit into memory: a temporary SQLite file."""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import Labels

_SCHEMA = """
PRAGMA journal_mode=OFF;
PRAGMA synchronous=OFF;
CREATE TABLE item (key TEXT PRIMARY KEY, locator TEXT, labels TEXT, metadata TEXT, code TEXT, reason TEXT) WITHOUT ROWID
"""


class Spool:
    """Images and problems in any order in, in the order of their keys out; the first of equal keys stays."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lookalike-")
        self._database = sqlite3.connect(Path(self._folder.name) / "spool.sqlite", check_same_thread=False)
        self._database.executescript(_SCHEMA)

    def add(self, image: SourceImage) -> bool:
        """Whether the key was new."""
        labels, metadata = image.labels.model_dump_json(), json.dumps(image.metadata)
        return self._insert(image.key, image.locator, labels, metadata, None, None)

    def refuse(self, problem: SourceProblem) -> bool:
        """Whether the key was new."""
        return self._insert(problem.key, None, None, None, problem.code, problem.reason)

    def __iter__(self) -> Iterator[SourceImage | SourceProblem]:
        rows = self._database.execute("SELECT * FROM item ORDER BY key")
        for key, locator, labels, metadata, code, reason in rows:
            if code is not None:
                yield SourceProblem(key, code, reason)
            else:
                yield SourceImage(key, locator, Labels.model_validate_json(labels), json.loads(metadata))

    def close(self) -> None:
        self._database.close()
        self._folder.cleanup()

    def _insert(self, *row: str | None) -> bool:
        return self._database.execute("INSERT OR IGNORE INTO item VALUES (?, ?, ?, ?, ?, ?)", row).rowcount == 1
