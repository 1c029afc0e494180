"""Any object store, counted and timed."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from lookalike.errors import LookalikeError
from lookalike.storage.port import ObjectInfo, ObjectStore
from lookalike.telemetry.declared import STORE_BYTES, STORE_CALLS, STORE_SECONDS
from lookalike.telemetry.metrics import PROCESS

T = TypeVar("T")


class ObservedStore:
    """``inner`` with metrics: an :class:`~lookalike.storage.port.ObjectStore` like it.

    An object that is not there or has changed is an answer, under its code; only ``internal`` is a call that raised
    what no store may. The time of a listing is that of waiting for its entries, not of what the caller does between.
    """

    def __init__(self, inner: ObjectStore) -> None:
        self._inner = inner

    def get(self, key: str) -> bytes:
        data = _observed("get", lambda: self._inner.get(key))
        PROCESS.count(STORE_BYTES, len(data), op="get")
        return data

    def get_with_etag(self, key: str) -> tuple[bytes, str]:
        data, etag = _observed("get_with_etag", lambda: self._inner.get_with_etag(key))
        PROCESS.count(STORE_BYTES, len(data), op="get_with_etag")
        return data, etag

    def put(self, key: str, data: bytes) -> str:
        etag = _observed("put", lambda: self._inner.put(key, data))
        PROCESS.count(STORE_BYTES, len(data), op="put")
        return etag

    def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
        made = _observed("put_if", lambda: self._inner.put_if(key, data, etag=etag))
        PROCESS.count(STORE_BYTES, len(data), op="put_if")
        return made

    def put_file(self, key: str, path: Path) -> str:
        etag = _observed("put_file", lambda: self._inner.put_file(key, path))
        PROCESS.count(STORE_BYTES, path.stat().st_size, op="put_file")
        return etag

    def fetch_file(self, key: str, path: Path) -> None:
        _observed("fetch_file", lambda: self._inner.fetch_file(key, path))
        PROCESS.count(STORE_BYTES, path.stat().st_size, op="fetch_file")

    def head(self, key: str) -> ObjectInfo | None:
        return _observed("head", lambda: self._inner.head(key))

    def list(self, prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        waited_s = 0.0
        outcome = "ok"
        entries = self._inner.list(prefix, after=after)
        try:
            while True:
                started = time.perf_counter()
                try:
                    entry = next(entries, None)
                except BaseException as error:
                    outcome = _code(error)
                    raise
                finally:
                    waited_s += time.perf_counter() - started
                if entry is None:
                    return
                yield entry
        finally:
            _count("list", outcome, waited_s)

    def delete(self, key: str) -> None:
        _observed("delete", lambda: self._inner.delete(key))

    def local_path(self, key: str) -> Path | None:
        """Not counted: it asks no server."""
        return self._inner.local_path(key)


def _observed(op: str, call: Callable[[], T]) -> T:
    started = time.perf_counter()
    outcome = "ok"
    try:
        return call()
    except BaseException as error:
        outcome = _code(error)
        raise
    finally:
        _count(op, outcome, time.perf_counter() - started)


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, LookalikeError) else "internal"


def _count(op: str, outcome: str, took_s: float) -> None:
    PROCESS.count(STORE_CALLS, op=op, outcome=outcome)
    PROCESS.observe(STORE_SECONDS, took_s, op=op)
