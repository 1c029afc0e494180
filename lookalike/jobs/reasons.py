"""An exception -> what a failed job says of it."""

import errno
import sqlite3

from lookalike.errors import DiskFull, LookalikeError
from lookalike.jobs.port import JobError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def reason_of(error: Exception) -> JobError:
    """Code and sentence of an expected error; of any other its type alone, for its text may hold anything.

    A disk without room is an expected one, wherever it was noticed.
    """
    if isinstance(error, LookalikeError):
        return JobError(code=error.code, message=error.message)
    if is_full(error):
        return JobError(
            code=DiskFull.code,
            message="no room on a disk of the worker: free some where storage.cache is, or name another folder there",
        )
    return JobError(code="internal", message=type(error).__name__)


def is_full(error: Exception) -> bool:
    """Whether it says that a disk has no room, or a user's share of it."""
    if isinstance(error, sqlite3.OperationalError):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL  # SQLite's own have it
    return isinstance(error, OSError) and error.errno in _FULL
