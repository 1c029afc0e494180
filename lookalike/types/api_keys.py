"""API keys as text, and what of them is kept.

A key is ``lk_<id>_<secret>``: the identifier names it in lists and logs, the secret is 256 random bits. Only SHA-256 of
the text is kept. Nothing slower is needed: a slow hash makes guessing at *passwords* dear, which have few bits; of
2**256 equally likely secrets nobody tries a share that matters, at whatever speed.

From a key follows its *session token*, ``ls_<id>_<…>``, which the search page keeps as a cookie: HMAC-SHA256 under the
key, so that nobody gets from the token to the key, and it counts for reading only.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

_ID_BYTES, _SECRET_BYTES = 6, 32
_CREDENTIAL = re.compile(r"l([ks])_([0-9a-f]{12})_[0-9a-f]{64}")
_SESSION = b"lookalike session: reading only"
_NO_ID = "0" * 12


class Scope(StrEnum):
    """What a key is for; each includes those before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True)
class Credential:
    """What somebody showed: whose it says it is, and SHA-256 of all of it. The text itself goes no further."""

    key_id: str
    sha256: str
    is_session: bool


def new_key() -> tuple[str, str]:
    """The identifier and the text of a new key."""
    key_id = secrets.token_hex(_ID_BYTES)
    return key_id, f"lk_{key_id}_{secrets.token_hex(_SECRET_BYTES)}"


def session_token(key: str) -> str:
    """The session token of ``key``, always the same for it."""
    found = _CREDENTIAL.fullmatch(key)
    made = hmac.new(key.encode(), _SESSION, hashlib.sha256).hexdigest()
    return f"ls_{found[2] if found else _NO_ID}_{made}"


def is_session_token(text: str) -> bool:
    """By its form."""
    return text.startswith("ls_")


def digest(text: str) -> str:
    """SHA-256 of a key or a token, as it is kept."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_credential(text: str) -> Credential | None:
    """None for what is no key or token of ours by its form."""
    found = _CREDENTIAL.fullmatch(text)
    return None if found is None else Credential(found[2], digest(text), found[1] == "s")


def is_same(one: str, other: str) -> bool:
    """Compares two digests in a time that says nothing about them."""
    return hmac.compare_digest(one, other)
