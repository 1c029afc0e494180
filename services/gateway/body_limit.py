"""A limit on request bodies, counted as they arrive."""

import contextlib

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.problem import problem


class _TooLarge(Exception):
    pass


class BodyLimit:
    """Answers 413 as soon as a body is, or says it will be, over ``max_bytes``."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max_bytes:
            await self._refusal()(scope, receive, send)
            return
        received = 0
        is_answered = False

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise _TooLarge
            return message

        async def answer(message: Message) -> None:
            # Whoever reads the body may catch what is raised there and call it malformed: it is too large.
            nonlocal is_answered
            if received <= self._max_bytes:
                is_answered = True
                await send(message)

        with contextlib.suppress(_TooLarge):
            await self._app(scope, limited, answer)
        if received > self._max_bytes and not is_answered:
            await self._refusal()(scope, receive, send)

    def _refusal(self) -> Response:
        return problem(413, "request_too_large", f"a request body has at most {self._max_bytes} bytes")
