"""A list of image URLs: a text file with one a line, or JSON lines."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lookalike.errors import InvalidSource
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.galleries.spool import Spool
from lookalike.types.images import MAX_KEY_CHARS, Labels

_Int64: TypeAlias = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # what JSON readers and databases take


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    url: str
    key: str | None = Field(default=None, min_length=1, max_length=MAX_KEY_CHARS)
    labels: Labels = Labels()
    metadata: dict[str, str | bool | _Int64 | float] = Field(default_factory=dict)


class UrlListSource:
    """Images behind the URLs of ``path``; empty lines and lines that start with ``#`` are passed over.

    A line is a URL, or a JSON object with ``url`` and any of ``key``, ``labels`` and ``metadata``. Without a key
    the host, path and query are it. A line that is neither, or a key that came before, is a problem with its
    line number. ``fetch`` gets a URL's bytes within the limits, and guards against addresses inside.
    """

    def __init__(self, path: Path, fetch: Callable[[str], bytes]) -> None:
        self._path = path
        self._fetch = fetch
        self._spool = Spool()
        try:
            with path.open(encoding="utf-8-sig") as file:
                for number, line in enumerate(file, start=1):
                    text = line.strip()
                    if text and not text.startswith("#"):
                        self._add(number, text)
        except (OSError, UnicodeDecodeError) as error:
            self._spool.close()
            raise InvalidSource(f"{path} is not a list of URLs: {error}") from error

    @property
    def description(self) -> str:
        return f"URLs of {self._path}"

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        yield from self._spool

    def read(self, image: SourceImage) -> bytes:
        return self._fetch(image.locator)

    def close(self) -> None:
        self._spool.close()

    def _add(self, number: int, text: str) -> None:
        try:
            line = _Line.model_validate(json.loads(text)) if text.startswith("{") else _Line(url=text)
            key = line.key or _key(line.url)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            self._refuse(number, "malformed_line", f"{where}: {first['msg']}" if where else first["msg"])
            return
        except (ValueError, RecursionError) as error:
            self._refuse(number, "malformed_line", str(error) or "nested too deeply")
            return
        if not self._spool.add(SourceImage(key, line.url, line.labels, line.metadata)):
            self._refuse(number, "duplicate", f"the key {key!r:.200} came before")

    def _refuse(self, number: int, code: str, reason: str) -> None:
        self._spool.refuse(SourceProblem(f"line {number:09}", code, f"line {number}: {reason}"))


def _key(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http or https URL: {url!r:.200}")
    key = unquote(parts.hostname + parts.path) + (f"?{parts.query}" if parts.query else "")
    if len(key) > MAX_KEY_CHARS:
        raise ValueError(f"the URL has over {MAX_KEY_CHARS} characters: give a key")
    return key
