"""What browsers are told, and which of their requests are refused.

The gateway has no logins: whoever reaches it may use it. A page of another site that a user of it visits must not
reach it through the user's browser, so no other origin may read answers (there are no CORS headers) nor change
anything (a browser says where a request comes from, and requests that change something from elsewhere are refused).
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.problem import problem

API_POLICY = "default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": API_POLICY,
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class BrowserRules:
    """Adds the headers, where an endpoint did not set its own, and refuses changes from other origins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in _RAW_HEADERS if pair[0] not in own)]
            await send(message)

        said = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] not in _READING and _is_from_elsewhere(said):
            refusal = problem(403, "cross_origin", "a page of another origin may not change anything here")
            await refusal(scope, receive, with_headers)
        else:
            await self._app(scope, receive, with_headers)


def _is_from_elsewhere(headers: Mapping[str, str]) -> bool:
    """By ``Sec-Fetch-Site``, else by ``Origin``; programs that are no browsers send neither."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    except ValueError:
        return True
