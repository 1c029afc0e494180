"""The session of the search page: a key is shown once, and a cookie that only reads takes its place."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lookalike.errors import KeyRefused
from lookalike.pipeline.known_keys import Caller
from lookalike.types.api_keys import Scope, is_session_token, session_token
from services.gateway.access import shown_key
from services.gateway.guarded_route import GuardedRoute
from services.gateway.state import App

router = APIRouter(prefix="/v1/session", tags=["session"], route_class=GuardedRoute)
_LASTS_S = 12 * 3600


class Session(BaseModel):
    """``keys`` is whether requests need one; the others are of the key that this request shows, null without one."""

    model_config = ConfigDict(frozen=True)

    keys: bool
    key_id: str | None = None
    name: str | None = None
    scope: Scope | None = None


class SignIn(BaseModel):
    """``key`` is an API key."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=1, max_length=1000)


@router.get("")
async def get_session(request: Request, app: App) -> Session:
    """Whether keys are needed, and what the key of this request is for. 401 for one that is refused."""
    if app.access is None:
        return Session(keys=False)
    shown = shown_key(request, app.access.cookie)
    if shown is None:
        return Session(keys=True)
    return _session(await app.access.caller(request, shown))


@router.post("")
async def sign_in(said: SignIn, request: Request, response: Response, app: App) -> Session:
    """Takes a key and sets a cookie for this browser, with which it may read for twelve hours.

    The cookie is made from the key and does not tell it; no script can read it, and other sites cannot use it.
    """
    if app.access is None:
        return Session(keys=False)
    key = said.key.strip()
    if is_session_token(key):
        raise KeyRefused("that is the cookie of another session, and no API key")
    caller = await app.access.caller(request, key)
    response.set_cookie(
        app.access.cookie,
        session_token(key),
        max_age=_LASTS_S,
        secure=app.access.secure_cookie,
        httponly=True,
        samesite="strict",
    )
    response.headers["Cache-Control"] = "no-store"
    return _session(replace(caller, scope=Scope.READ))


@router.delete("", status_code=204)
async def sign_out(app: App) -> Response:
    """Takes the cookie away."""
    response = Response(status_code=204)
    if app.access is not None:
        response.delete_cookie(app.access.cookie, secure=app.access.secure_cookie, httponly=True, samesite="strict")
    return response


def _session(caller: Caller) -> Session:
    return Session(keys=True, key_id=caller.key_id, name=caller.name, scope=caller.scope)
