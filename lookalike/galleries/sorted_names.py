"""The names in one folder in order, however many there are."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

_IN_MEMORY = 10_000


def sorted_names(folder: Path, *, in_memory: int = _IN_MEMORY) -> Iterator[tuple[str, str]]:
    """(printable, name) of all that is not hidden in ``folder``, by the code points of ``printable``.

    The names of folders, and of links to folders, have a ``/`` behind them, so that a folder comes where its
    files' paths do. ``printable`` is the name, with what is not UTF-8 in it as ``\\udcNN``. Beyond ``in_memory``
    names they are sorted in a temporary file. Raises OSError when the folder cannot be listed.
    """
    with os.scandir(folder) as entries:
        names = (_named(entry) for entry in entries if not entry.name.startswith("."))
        first = list(islice(names, in_memory + 1))
        if len(first) <= in_memory:
            yield from sorted(first)
            return
        with tempfile.TemporaryDirectory(prefix="lookalike-") as temporary:
            database = sqlite3.connect(Path(temporary) / "names.sqlite", check_same_thread=False)
            try:
                database.executescript(
                    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
                    "CREATE TABLE name (printable TEXT, name BLOB, PRIMARY KEY (printable, name)) WITHOUT ROWID"
                )
                rows = ((printable, os.fsencode(name)) for printable, name in chain(first, names))
                database.executemany("INSERT INTO name VALUES (?, ?)", rows)
                del first
                for printable, name in database.execute("SELECT printable, name FROM name ORDER BY printable, name"):
                    yield printable, os.fsdecode(name)
            finally:
                database.close()


def _named(entry: "os.DirEntry[str]") -> tuple[str, str]:
    try:
        is_folder = entry.is_dir()
    except OSError:  # a link in a circle
        is_folder = False
    name = entry.name + "/" if is_folder else entry.name
    return name if name.isascii() else name.encode(errors="backslashreplace").decode(), name
