"""Cursors: where the next page begins, as text that a client gives back unread."""

import base64
import binascii

from lookalike.errors import InvalidCursor

_MARK = b"1:"  # of this form: a later one can be told from it


def make_cursor(last: str) -> str:
    """The cursor of the page after the item called ``last``."""
    return base64.urlsafe_b64encode(_MARK + last.encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> str:
    """The inverse. Raises InvalidCursor."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        data = base64.b64decode(padded, altchars=b"-_", validate=True)
        if not data.startswith(_MARK):
            raise InvalidCursor("not a cursor of an earlier page")
        return data[len(_MARK) :].decode()
    except (binascii.Error, UnicodeError) as error:
        raise InvalidCursor("not a cursor of an earlier page") from error
