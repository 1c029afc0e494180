"""Requests to a server of embeddings: connections that are kept, and what may be sent again.

A request that found no answer (refused, reset, timed out, or 502, 503, 504, 429) is sent again, up to three times in
all: embedding changes nothing on a server. A server that says that it is busy may be asked for longer, see
:class:`Patience`. The id of the request that is being answered and its trace go with each.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lookalike.errors import DependencyUnavailable, InvalidRequest, MissingExtra
from lookalike.telemetry import tracing
from lookalike.telemetry.asgi import REQUEST_ID_HEADER
from lookalike.telemetry.context import current

try:
    import httpx
except ImportError as error:
    raise MissingExtra("httpx", "galleries") from error

_ATTEMPTS = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_RETRIED_STATUS = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Patience:
    """``statuses`` mean that the server has no room now; they are answered with another attempt for ``for_s``.

    The pauses double up to two seconds, and each is shortened at random by up to half, so that clients that were
    turned away together do not come back together.
    """

    statuses: frozenset[int]
    for_s: float


_NONE = Patience(frozenset(), 0.0)


class EmbedderConnection:
    """A pool of connections to one server, which any number of threads may use.

    Args:
        url: where the server is; anything but http://HOST or https://HOST raises InvalidRequest.
        headers: sent with every request, and in no message.
        connections: kept at most; None is httpx's own limit.
        timeout_s: for connecting, and for each wait for bytes.
        sleep: how to pause between attempts.
        now: seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
        connections: int | None = None,
        patience: Patience = _NONE,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep = sleep
        self._now = now
        self._patience = patience
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise InvalidRequest(f"not the URL of an embedder: {url!r:.200}", url=url[:200]) from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise InvalidRequest(f"the URL of an embedder starts with http://HOST, not {url!r:.200}", url=url[:200])
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        self._client = httpx.Client(
            base_url=parsed, timeout=timeout_s, follow_redirects=False, headers=headers, limits=limits
        )
        self.url = str(parsed.copy_with(userinfo=b""))  # for messages, which hold no password

    def close(self) -> None:
        self._client.close()

    def request(self, method: str, path: str, *, headers: Mapping[str, str], content: bytes = b"") -> httpx.Response:
        """The answer, whatever its status is but for those that mean: again. Raises DependencyUnavailable."""
        with tracing.span(f"embedder {method}", {"http.request.method": method}, kind=tracing.SpanKind.CLIENT):
            return self._answer(method, path, {**headers, **_about_the_caller()}, content)

    def unavailable(self, reason: str) -> DependencyUnavailable:
        return DependencyUnavailable(f"the embedder at {self.url} {reason}"[:500], dependency="embedder")

    def _answer(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> httpx.Response:
        until = self._now() + self._patience.for_s
        failed = busy = 0
        while True:
            try:
                response = self._client.request(method, path, headers=headers, content=content)
            except httpx.TransportError as error:
                reason = f"does not answer: {type(error).__name__}: {error}"
            else:
                reason = f"answered {response.status_code}"
                if response.status_code in self._patience.statuses:
                    busy += 1
                    pause_s = self._pause_s(busy) * random.uniform(0.5, 1)  # noqa: S311 not a secret
                    if self._now() + pause_s > until:
                        return response
                    self._sleep(pause_s)
                    continue
                if response.status_code not in _RETRIED_STATUS:
                    return response
            failed += 1
            if failed == _ATTEMPTS:
                raise self.unavailable(reason)
            self._sleep(self._pause_s(failed))

    @staticmethod
    def _pause_s(attempt: int) -> float:
        return min(_FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 16), _LONGEST_PAUSE_S)


def _about_the_caller() -> dict[str, str]:
    """The headers by which the server's log and spans are found together with the caller's."""
    request_id = current().get("request_id")
    return {**tracing.inject(), **({} if request_id is None else {REQUEST_ID_HEADER: request_id})}
