"""Requests to an ASGI application: each has an id and a span, is counted and timed, and leaves a line in the log."""

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from lookalike.telemetry import tracing
from lookalike.telemetry.context import bound
from lookalike.telemetry.declared import HTTP_REQUESTS, HTTP_SECONDS
from lookalike.telemetry.logs import fields
from lookalike.telemetry.metrics import Recorder

# As in the ASGI specification: this package imports no web framework.
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID_HEADER = "X-Request-ID"
UNMATCHED = "unmatched"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.\-]{1,64}")  # what else a client sends would be text of its own in the log
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})
_ASKED_ALWAYS = frozenset({"/healthz", "/readyz", "/ping", "/metrics"})

_log = logging.getLogger("lookalike.requests")


class ObserveRequests:
    """The outermost middleware. ``recorder`` has the metrics :data:`lookalike.telemetry.declared.HTTP`.

    The id is the client's, from :data:`REQUEST_ID_HEADER`, or a new one; it is in the answer, in
    ``scope["state"]["request_id"]`` and bound for the log. The route is its template, never the path: a path has names
    in it, and there are endless ones.
    """

    def __init__(self, app: App, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = _request_id(headers.get(REQUEST_ID_HEADER.lower()))
        scope.setdefault("state", {})["request_id"] = request_id
        # Methods are anything a client types; those that no route has are counted as one.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        started = time.perf_counter()
        status = 0

        def route() -> str:
            return getattr(scope.get("route"), "path", UNMATCHED)

        def begin(answered: int) -> None:
            nonlocal status
            status = answered
            self._recorder.count(HTTP_REQUESTS, method=method, route=route(), status=status)
            self._recorder.observe(HTTP_SECONDS, time.perf_counter() - started, method=method, route=route())

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                begin(message["status"])
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER.lower().encode(), request_id.encode())]
            await send(message)

        with (
            bound(request_id=request_id),
            tracing.extract(headers),
            tracing.span(method, kind=tracing.SpanKind.SERVER) as span,
        ):
            try:
                await self._app(scope, receive, observed)
            finally:
                if not status:
                    begin(500)  # what answers it is outside of this
                span.rename(f"{method} {route()}")
                span.note({"http.request.method": method, "http.route": route(), "http.response.status_code": status})
                with bound(key_id=scope["state"].get("key_id")):  # whoever answered has said whose it is
                    _line(method, route(), status, time.perf_counter() - started)


def _request_id(said: str | None) -> str:
    return said if said is not None and _REQUEST_ID.fullmatch(said) else uuid.uuid4().hex


def _line(method: str, route: str, status: int, took_s: float) -> None:
    took_ms = round(took_s * 1000, 1)
    level = logging.DEBUG if route in _ASKED_ALWAYS else logging.INFO
    about = fields(method=method, route=route, status=status, took_ms=took_ms)
    _log.log(level, "%s %s %d in %.1f ms", method, route, status, took_ms, extra=about)
