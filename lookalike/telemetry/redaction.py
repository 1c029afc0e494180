"""What must not be read in a log: secrets of the settings, API keys, passwords in URLs, and the queries of URLs.

The query of a presigned URL is a key to what it names, and that of any other may be one.
"""

import re
from collections.abc import Iterator

from pydantic import BaseModel, SecretStr

MASK = "***"
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")
_API_KEY = re.compile(r"\b(l[ks]_[0-9a-f]{12}_)[0-9a-f]{64}")
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.\-]*://[^\s?#\"'<>]+)\?[^\s\"'<>]*", re.IGNORECASE)


class Redactor:
    """Texts without the secrets that ``settings`` hold, at any depth."""

    def __init__(self, settings: BaseModel) -> None:
        # The longest first: one may be part of another.
        self._secrets = sorted(set(_secrets(settings)), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """``text`` with :data:`MASK` in place of what is secret."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _API_KEY.sub(rf"\1{MASK}", text)
        return _QUERY.sub(rf"\1?{MASK}", _PASSWORD.sub(f"{MASK}@", text))


def _secrets(settings: BaseModel) -> Iterator[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr) and value.get_secret_value():
            yield value.get_secret_value()
