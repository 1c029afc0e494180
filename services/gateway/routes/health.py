"""Alive, ready, metrics."""

from typing import Literal

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from services.gateway.dependencies import OK
from services.gateway.guarded_route import GuardedRoute
from services.gateway.readiness import Readiness
from services.gateway.state import App

AWAY = "does not answer as it should: the log says more"

router = APIRouter(tags=["health"], route_class=GuardedRoute)


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/healthz")
async def healthz() -> Alive:
    """The process runs."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "The store has not answered yet."}})
def readyz(app: App, response: Response) -> Readiness:
    """What is ready and what is not: 200 once the store has answered, also while a server is away, else 503.

    Where keys are on it names no gallery and no bucket: who asks here shows no key.
    """
    found = app.readier.look()
    if app.access is not None:
        store = found.store if found.store == OK else AWAY  # its message may name a bucket
        found = found.model_copy(update={"galleries": [], "problems": {}, "store": store})
    response.status_code = 503 if found.status == "unavailable" else 200
    return found


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(app: App) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(app.metrics.registry), media_type=CONTENT_TYPE_LATEST)
