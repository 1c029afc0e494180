"""One HTTP request to an S3 server, tried again while that can help, within a bounded time.

Retries belong here, below the client: a multipart upload of a hundred parts then repeats the one request that failed
and not the other ninety-nine. Every request that the client makes may be sent twice: reads, deletes and whole
overwrites by their nature, conditional writes because ``s3_conditional`` reads back who won.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from lookalike.errors import DependencyUnavailable, MissingExtra
from lookalike.telemetry.declared import STORE_RETRIES
from lookalike.telemetry.metrics import PROCESS

try:
    import urllib3
    from urllib3.exceptions import HTTPError, SSLError
except ImportError as error:
    raise MissingExtra("minio", "s3") from error

MAX_CONNECTIONS = 64  # kept open to the server; more threads than that open some anew
_ATTEMPTS_IN_TIME = 3  # an answer is waited for a third of the time: two more attempts fit into it
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 4.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_CODES = {
    400: (b"RequestTimeout<",),
    409: (b"ConditionalRequestConflict<", b"OperationAborted<"),
}
_condition: ContextVar[Mapping[str, str] | None] = ContextVar("condition", default=None)


class ConditionNotMet(Exception):
    """The server has another version of the object than the condition of a write names (412, or 404)."""


class ConditionNotSupported(Exception):
    """The server does not know conditions of this kind on writes (501, or another refusal of the header)."""


@contextmanager
def condition(header: str, value: str) -> Iterator[None]:
    """PUT requests of this thread carry ``header`` meanwhile; they raise ConditionNotMet or ConditionNotSupported.

    The client has no argument for it. The header is not part of the signature and need not be: only ``host`` and
    ``x-amz-*`` must be.
    """
    token = _condition.set({header: value})
    try:
        yield
    finally:
        _condition.reset(token)


def pauses() -> Iterator[float]:
    """Seconds to wait before each further attempt: doubling up to a limit, and random below that.

    Full jitter, as in "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): clients that failed together
    do not come back together.
    """
    longest = _FIRST_PAUSE_S
    while True:
        yield random.uniform(0, longest)  # noqa: S311 no secret
        longest = min(longest * 2, _LONGEST_PAUSE_S)


class RetryingPool(urllib3.PoolManager):
    """Connections to one server, for any number of threads.

    Connection errors, timeouts and the answers 408, 429, 500, 502, 503 and 504 (S3's SlowDown among them) are tried
    again until ``timeout_s`` seconds are over, then DependencyUnavailable is raised. Other answers are returned.
    """

    def __init__(self, server: str, timeout_s: float) -> None:
        wait_s = timeout_s / _ATTEMPTS_IN_TIME
        super().__init__(
            maxsize=MAX_CONNECTIONS, timeout=urllib3.Timeout(connect=min(wait_s, 5.0), read=wait_s), retries=False
        )
        self._server = server
        self.timeout_s = timeout_s

    def urlopen(  # type: ignore[override]  # as PoolManager's, of which the client uses this much
        self, method: str, url: str, redirect: bool = True, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        wanted = _condition.get() if method == "PUT" else None
        if wanted:
            options["headers"] = {**dict(options.get("headers") or {}), **wanted}
        until = time.monotonic() + self.timeout_s
        for pause_s in pauses():
            try:
                # Redirects are the client's to follow: they need another signature.
                response = super().urlopen(method, url, redirect=False, **options)
            except HTTPError as failure:
                if isinstance(failure, SSLError):
                    raise unavailable(self._server, f"no trusted connection: {failure}") from None
                reason = reason_of(failure)
            else:
                if not _passes(method, url, response):
                    if wanted:
                        _raise_refusal(response)
                    return response
                response.drain_conn()
                response.release_conn()
                reason = f"it answers {response.status}"
            # Ending an upload that failed is a courtesy: not worth waiting a second time.
            if _is_abort(method, url) or time.monotonic() + pause_s > until:
                raise unavailable(self._server, reason)
            time.sleep(pause_s)
            PROCESS.count(STORE_RETRIES, method=method)
        raise AssertionError("pauses never end")


def unavailable(server: str, reason: str) -> DependencyUnavailable:
    """The error for a store that does not answer; neither the URL nor its signature is in it."""
    return DependencyUnavailable(
        f"the object store at {server} does not answer ({reason}): check storage.s3_endpoint and that it runs",
        dependency="store",
    )


def reason_of(failure: HTTPError) -> str:
    """What happened to a connection, in words without the URL."""
    cause = failure.__cause__ or failure.__context__
    if isinstance(failure, urllib3.exceptions.TimeoutError):
        return "timed out"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return type(failure).__name__


def _is_abort(method: str, url: str) -> bool:
    return method == "DELETE" and "uploadId=" in url


def _passes(method: str, url: str, response: urllib3.BaseHTTPResponse) -> bool:
    """Whether the same request may get another answer in a moment."""
    if response.status in _PASSING:
        return True
    if response.status in _PASSING_CODES:
        return any(code in response.data for code in _PASSING_CODES[response.status])
    # A multipart upload is completed with a 200 before it is known whether that succeeds.
    return response.status == 200 and method == "POST" and "uploadId=" in url and b"<Error>" in response.data


def _raise_refusal(response: urllib3.BaseHTTPResponse) -> None:
    if response.status == 412 or (response.status == 404 and b"NoSuchKey<" in response.data):
        raise ConditionNotMet
    if response.status in (400, 405, 501):
        raise ConditionNotSupported
