"""Limits on request bodies: how large, counted as they arrive, how much at once, and how slow."""

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.problem import problem

LEAST_BYTES_PER_S = 4096
OPEN_BYTES = 8 * 1024  # of what anybody may send, who could hold the room of all others with more
_RETRY_S = 5
MOST_AT_ONCE = 4  # of the largest bodies: they lie in memory and on the disk until they are answered


class _Refused(Exception):
    pass


class BodyLimit:
    """Answers 413 as soon as a body is, or says it will be, too large, and 408 where it takes too long.

    And 503 where all that are under way are :data:`MOST_AT_ONCE` times what one may be.

    Args:
        app: what answers.
        max_bytes: of an upload (multipart).
        max_json_bytes: of any other body, which is read whole and parsed at once.
        open_paths: where anybody may send a body, of at most :data:`OPEN_BYTES`.
        slow_s: how long a body may take; and a second more for every :data:`LEAST_BYTES_PER_S`. So a client that
            sends a byte now and then holds nothing for long.
    """

    def __init__(
        self, app: ASGIApp, max_bytes: int, max_json_bytes: int, slow_s: float, open_paths: Collection[str] = ()
    ) -> None:
        self._app = app
        self._open_paths = frozenset(open_paths)
        self._max_bytes = max_bytes
        self._max_json_bytes = min(max_bytes, max_json_bytes)
        self._slow_s = slow_s
        self._under_way = _UnderWay(max_bytes * MOST_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        is_upload = headers.get(b"content-type", b"").lower().startswith(b"multipart/")
        max_bytes = self._max_bytes if is_upload else self._max_json_bytes
        if scope.get("path") in self._open_paths:
            max_bytes = min(max_bytes, OPEN_BYTES)
        if not length.isdigit() or int(length) > max_bytes:
            await _too_large(max_bytes)(scope, receive, send)
            return
        body = _Body(receive, max_bytes, self._slow_s, self._under_way)

        async def answer(message: Message) -> None:
            # Whoever reads the body may catch what is raised there and call it malformed: it is refused.
            if body.refusal is None:
                body.is_answered = True
                await send(message)

        try:
            with contextlib.suppress(_Refused):
                await self._app(scope, body.receive, answer)
        finally:
            self._under_way.num_bytes -= body.received
        if body.refusal is not None and not body.is_answered:
            await body.refusal(scope, receive, send)


@dataclass
class _UnderWay:
    """What all bodies that are not answered yet have together."""

    most_bytes: int
    num_bytes: int = 0


class _Body:
    """The body of one request as it arrives. ``refusal`` is the answer where it is refused."""

    def __init__(self, receive: Receive, max_bytes: int, slow_s: float, under_way: _UnderWay) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._slow_s = slow_s
        self._under_way = under_way
        self._started_s = asyncio.get_running_loop().time()
        self.received = 0
        self._is_whole = False
        self.refusal: Response | None = None
        self.is_answered = False

    async def receive(self) -> Message:
        if self._is_whole:  # whoever asks for more waits for the client to go
            return await self._receive()
        until_s = self._started_s + self._slow_s + self.received / LEAST_BYTES_PER_S
        try:
            async with asyncio.timeout_at(until_s):
                message = await self._receive()
        except TimeoutError:
            self.refusal = _too_slow()
            raise _Refused from None
        size = len(message.get("body", b""))
        self.received += size
        self._under_way.num_bytes += size
        self._is_whole = not message.get("more_body", False)
        if self.received > self._max_bytes:
            self.refusal = _too_large(self._max_bytes)
            raise _Refused
        if self._under_way.num_bytes > self._under_way.most_bytes:
            self.refusal = _too_many()
            raise _Refused
        return message


def _too_large(max_bytes: int) -> Response:
    return problem(413, "request_too_large", f"a request body of this type has at most {max_bytes} bytes")


def _too_many() -> Response:
    made = problem(503, "too_busy", "too much is being uploaded at this moment; try again")
    made.headers["Retry-After"] = str(_RETRY_S)
    return made


def _too_slow() -> Response:
    made = problem(408, "request_too_slow", "the request body took too long to arrive")
    made.headers["Connection"] = "close"
    return made
