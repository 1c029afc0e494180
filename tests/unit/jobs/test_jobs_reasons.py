"""What a failed job says of an exception."""

import errno
import sqlite3

import pytest

from lookalike.errors import GateFailed
from lookalike.jobs.reasons import reason_of


def full_database() -> sqlite3.OperationalError:
    """What SQLite raises where its file may not grow."""
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE t (x)")
    with pytest.raises(sqlite3.OperationalError) as raised:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    connection.close()
    return raised.value


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), OSError(errno.EDQUOT, ""), full_database()])
def test_a_full_disk_says_what_to_do(error: Exception) -> None:
    said = reason_of(error)
    assert said.code == "disk_full"
    assert "storage.cache" in said.message


def test_expected_errors_keep_their_words_and_others_give_none_away() -> None:
    assert reason_of(GateFailed("worse than what is live")).model_dump() == {
        "code": "gate_failed",
        "message": "worse than what is live",
    }
    for error in (ValueError("a secret"), OSError(errno.EACCES, "a secret"), sqlite3.OperationalError("a secret")):
        assert (reason_of(error).code, reason_of(error).message) == ("internal", type(error).__name__)
