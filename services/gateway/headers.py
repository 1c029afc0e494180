"""What browsers are told, and which of their requests are refused.

A page of another site that a user of the gateway visits must not reach it through the user's browser. So no other
origin may read answers nor change anything: a browser says where a request comes from, and requests that change
something from elsewhere are refused. ``access.cors_origins`` names exceptions.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.access import ANSWER_HEADERS
from services.gateway.cross_origin import CrossOrigin, is_from_elsewhere
from services.gateway.host_names import HostNames
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
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Content-Security-Policy": API_POLICY,
}
_TLS_HEADERS = {"Strict-Transport-Security": "max-age=31536000"}  # a year; not for names below this one, of others
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class BrowserRules:
    """Adds the headers, where an endpoint did not set its own, and refuses changes from other origins.

    Args:
        app: what answers.
        cross_origin: which other origins may do what.
        hosts: by which names it may be reached; None: by any.
        tls: clients reach it by HTTPS, and are told never to do otherwise.
    """

    def __init__(
        self,
        app: ASGIApp,
        cross_origin: CrossOrigin | None = None,
        hosts: HostNames | None = None,
        *,
        tls: bool = False,
    ) -> None:
        self._app = app
        self._cross_origin = cross_origin or CrossOrigin()
        self._hosts = hosts
        headers = {**_HEADERS, **(_TLS_HEADERS if tls else {})}
        self._raw_headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = {name.lower() for name, _ in message["headers"]}
                more = [*self._raw_headers, *scope.get("state", {}).get(ANSWER_HEADERS, ())]
                message["headers"] = [
                    *message["headers"],
                    *(pair for pair in more if pair[0] not in own),
                    *self._cross_origin.answer_headers(said),
                ]
            await send(message)

        await self._answering(scope, said)(scope, receive, with_headers)

    def _answering(self, scope: Scope, said: dict[str, str]) -> ASGIApp:
        if self._hosts is not None and not self._hosts.allow(said.get("host", "")):
            detail = "not a name of this gateway; LOOKALIKE_GATEWAY__HOSTS lists those by which it is reached"
            return problem(421, "unknown_host", detail)
        preflight = self._cross_origin.preflight(scope["method"], said)
        if preflight is not None:
            return preflight
        if scope["method"] not in _READING and is_from_elsewhere(said) and not self._cross_origin.allows(said):
            return problem(403, "cross_origin", "a page of another origin may not change anything here")
        return self._app
