"""Sorting more images than fit into memory: a temporary SQLite file."""

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lookalike.galleries.port import SourceImage
from lookalike.types.images import Labels


class Spool:
    """Images in any order in, in the order of their keys out; the first of equal keys stays."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lookalike-")
        self._database = sqlite3.connect(Path(self._folder.name) / "spool.sqlite", check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(
            "CREATE TABLE image (key TEXT PRIMARY KEY, locator TEXT, labels TEXT, metadata TEXT) WITHOUT ROWID"
        )

    def add(self, image: SourceImage) -> bool:
        """Whether the key was new."""
        row = (image.key, image.locator, image.labels.model_dump_json(), json.dumps(image.metadata))
        return self._database.execute("INSERT OR IGNORE INTO image VALUES (?, ?, ?, ?)", row).rowcount == 1

    def __iter__(self) -> Iterator[SourceImage]:
        for key, locator, labels, metadata in self._database.execute("SELECT * FROM image ORDER BY key"):
            yield SourceImage(key, locator, Labels.model_validate_json(labels), json.loads(metadata))

    def close(self) -> None:
        self._database.close()
        self._folder.cleanup()
