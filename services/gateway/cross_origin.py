"""What pages of other origins may do: nothing, unless the settings name their origin (CORS)."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from starlette.responses import Response

_METHODS = "GET, POST, DELETE"
_REQUEST_HEADERS = "Authorization, X-API-Key, Content-Type, If-None-Match, X-Request-ID"
_ANSWER_HEADERS = "RateLimit, RateLimit-Policy, Retry-After, Location, ETag, X-Request-ID"
_KEPT_S = 600


class CrossOrigin:
    """The rules for ``origins``. Cookies are never theirs: their pages send a key of their own with each request."""

    def __init__(self, origins: Sequence[str] = ()) -> None:
        self._origins = frozenset(origin.lower() for origin in origins)

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Whether the request says that it comes from an origin that is named."""
        return headers.get("origin", "").lower() in self._origins

    def answer_headers(self, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        """What lets the browser give the answer to the page that asked; nothing for others."""
        if not self._origins:
            return []
        varies = (b"vary", b"Origin")
        if not self.allows(headers):
            return [varies]
        return [
            (b"access-control-allow-origin", headers["origin"].encode("latin-1")),
            (b"access-control-expose-headers", _ANSWER_HEADERS.encode()),
            varies,
        ]

    def preflight(self, method: str, headers: Mapping[str, str]) -> Response | None:
        """The answer to a browser that asks beforehand for a named origin; None for any other request."""
        if method != "OPTIONS" or "access-control-request-method" not in headers or not self.allows(headers):
            return None
        said = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": str(_KEPT_S),
        }
        return Response(status_code=204, headers=said)


def is_from_elsewhere(headers: Mapping[str, str]) -> bool:
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
