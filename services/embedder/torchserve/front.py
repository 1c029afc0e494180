"""The only way to TorchServe from another machine: an application that knows its clients and forwards their requests.

TorchServe makes its keys anew whenever it starts and cannot be given one; here clients show a token that an operator
chose, the same on every replica, and TorchServe's own keys stay in this process. Only predictions are forwarded: the
management API has no way from outside. ``docs/decisions/0012-torchserve-behind-the-port.md`` says more.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from lookalike.embedding.remote_protocol import MAX_REQUEST_BYTES
from lookalike.errors import InvalidRequest, KeyMissing, KeyRefused, LookalikeError, ModelNotFound, ServerBusy
from lookalike.telemetry.asgi import ObserveRequests
from lookalike.telemetry.metrics import Recorder
from lookalike.types.served import Round
from services.embedder.problems import PROBLEM_TYPE, STATUS, problem
from services.embedder.torchserve.budget import Budget
from services.embedder.torchserve.reconciler import Reconciler
from services.embedder.torchserve.upstream import Upstream

_FORM_BYTES = 1 << 20
_SOON = {"Retry-After": "1"}


@dataclass
class Health:
    """What probes are told. ``since_start`` is a sentence while it is not ready."""

    is_ready: bool = False
    why_not: str = "TorchServe is starting"


@dataclass(frozen=True)
class Parts:
    """What the front needs. ``look_now`` asks for a round soon; ``reconcile`` makes one and returns it."""

    upstream: Upstream
    reconciler: Reconciler
    budget: Budget
    health: Health
    look_now: Callable[[], None]
    reconcile: Callable[[], Awaitable[Round]]
    token: str | None


def create_front(parts: Parts, recorder: Recorder) -> FastAPI:
    """The application. Without a token everybody may ask, which is for one machine."""
    app = FastAPI(title="Lookalike embedder on TorchServe", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(LookalikeError, partial(_problem, parts.budget))
    app.add_middleware(ObserveRequests, recorder=recorder)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ping")
    @app.get("/readyz")
    async def ready() -> Response:
        health = parts.health
        if health.is_ready and not parts.budget.closed:
            return JSONResponse({"status": "Healthy"})
        why = "it is being stopped" if parts.budget.closed else health.why_not
        return JSONResponse({"status": "Unhealthy", "reason": why}, status_code=503)

    @app.api_route("/predictions/{name}", methods=["GET", "POST", "PUT"])
    async def predict(name: str, request: Request) -> Response:
        _authorise(request, parts.token)
        _check_planned(name, parts)
        size_bytes = _announced(request)
        with parts.budget.take(size_bytes):
            body = await _body(request, size_bytes)
            headers = {key.lower(): value for key, value in request.headers.items()}
            returned = await parts.upstream.predict(name, headers, body)
        return Response(returned.body, returned.status, dict(returned.headers))

    @app.post("/v1/reconcile")
    async def reconcile(request: Request) -> Round:
        _authorise(request, parts.token)
        return await parts.reconcile()

    return app


def _authorise(request: Request, token: str | None) -> None:
    """Raises KeyMissing, KeyRefused."""
    if token is None:
        return
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not shown:
        raise KeyMissing("TorchServe wants the token: Authorization: Bearer …")
    if not hmac.compare_digest(shown.strip().encode(), token.encode()):
        raise KeyRefused("this is not TorchServe's token")


def _check_planned(name: str, parts: Parts) -> None:
    """Raises ServerBusy for a registered model that gets its workers now, ModelNotFound for one that nobody knows."""
    if parts.reconciler.ask(name):
        return
    parts.look_now()
    if not parts.reconciler.is_registered(name):
        raise ModelNotFound(f"no model {name!r:.150} is served here", model=name[:150])
    raise ServerBusy("this model was idle; its workers are being started", model=name)


def _announced(request: Request) -> int:
    """The size of the body, in bytes. Raises InvalidRequest for one that is too large or does not say."""
    said = request.headers.get("content-length", "0" if request.method == "GET" else "")
    if not (said.isascii() and said.isdigit()):
        raise InvalidRequest("a request needs Content-Length")
    if int(said) > MAX_REQUEST_BYTES + _FORM_BYTES:
        raise InvalidRequest(f"a request has at most {MAX_REQUEST_BYTES} bytes", limit_bytes=MAX_REQUEST_BYTES)
    return int(said)


async def _body(request: Request, size_bytes: int) -> bytes:
    """The body; the server itself refuses one of another size than it announced."""
    body = await request.body()
    if len(body) != size_bytes:
        raise InvalidRequest("the body is not as long as Content-Length says", expected=size_bytes)
    return body


async def _problem(budget: Budget, request: Request, error: Exception) -> Response:
    if not isinstance(error, LookalikeError):
        raise error
    headers = dict(_SOON) if isinstance(error, ServerBusy) else {}
    if budget.closed:
        headers["Connection"] = "close"  # the next request finds another replica
    return JSONResponse(problem(error), STATUS[error.kind], headers, PROBLEM_TYPE)
