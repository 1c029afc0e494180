"""API keys, for whoever has one for everything."""

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from lookalike.catalog.api_keys import MAX_NAME_CHARS
from lookalike.pipeline.api_keys import (
    MAX_DAYS,
    MAX_REQUESTS_PER_MINUTE,
    CreatedKey,
    KeyInfo,
    create_key,
    list_keys,
    revoke_key,
)
from lookalike.types.api_keys import Scope
from services.gateway.guarded_route import GuardedRoute
from services.gateway.state import App, At

router = APIRouter(prefix="/v1/keys", tags=["keys"], route_class=GuardedRoute)


class NewKey(BaseModel):
    """``scope`` write includes read, and admin both. A key without ``expires_in_s`` does not expire."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=MAX_NAME_CHARS)
    scope: Scope = Scope.READ
    expires_in_s: float | None = Field(default=None, gt=0, le=MAX_DAYS * 86400)
    requests_per_minute: int | None = Field(default=None, ge=1, le=MAX_REQUESTS_PER_MINUTE)


@router.post("", status_code=201)
def create(new: NewKey, at: At, response: Response) -> CreatedKey:
    """Makes a key. Its text is in this answer and nowhere else: only a hash of it is kept."""
    response.headers["Cache-Control"] = "no-store"
    return create_key(
        at, new.name, new.scope, expires_in_s=new.expires_in_s, requests_per_minute=new.requests_per_minute
    )


@router.get("")
def list_all(at: At) -> list[KeyInfo]:
    """All keys, also those that count no more, newest first; never their texts."""
    return list_keys(at)


@router.delete("/{key_id}", status_code=204)
def revoke(key_id: str, app: App) -> Response:
    """The key counts no more: here at once, in other gateways within ten seconds. It stays listed."""
    revoke_key(app.workspace, key_id)
    if app.access is not None:
        app.access.keys.forget(key_id)
    return Response(status_code=204)
