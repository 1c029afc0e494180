"""Errors as RFC 9457 problem+json: the one place where a kind becomes an HTTP status."""

import json
import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from lookalike.errors import ErrorKind, KeyMissing, LookalikeError, RateLimited
from lookalike.telemetry.asgi import REQUEST_ID_HEADER
from lookalike.telemetry.context import bound

STATUS = {
    ErrorKind.INVALID: 422,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED: 415,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.LIMITED: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.INTERNAL: 500,
}
MEDIA_TYPE = "application/problem+json"
_CODES = {400: "malformed_request", 404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}
_MAX_ERRORS = 20

_log = logging.getLogger(__name__)


class Problem(BaseModel):
    """An error (RFC 9457). Programs rely on ``code``, which is stable; ``detail`` is for people."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


class ItemError(BaseModel):
    """The error of one of several items, in an answer that has others."""

    code: str
    detail: str
    status: int


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "An error; its code says which.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


class ProblemResponse(JSONResponse):
    """JSON whatever the values are: what a client sent, such as half a surrogate pair or NaN, comes back readable."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        return json.dumps(_plain(content), ensure_ascii=False).encode("utf-8", "backslashreplace")


def problem(status: int, code: str, detail: str, **members: object) -> ProblemResponse:
    """One problem document; ``members`` are its extensions."""
    body = {"type": "about:blank", "title": code.replace("_", " "), "status": status, "code": code, "detail": detail}
    return ProblemResponse({**members, **body}, status)


def from_error(error: LookalikeError) -> ItemError:
    """An error as a member of a larger answer."""
    return ItemError(code=error.code, detail=_text(error.message), status=STATUS[error.kind])


def install(app: FastAPI) -> None:
    """Makes every error of ``app`` a problem document."""

    @app.exception_handler(LookalikeError)
    async def _expected(request: Request, error: LookalikeError) -> ProblemResponse:
        made = problem(STATUS[error.kind], error.code, error.message, **error.details)
        made.headers.update(_headers(error))
        return made

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> ProblemResponse:
        problems = [
            {"where": ".".join(str(part) for part in found["loc"]), "what": found["msg"]}
            for found in error.errors()[:_MAX_ERRORS]
        ]
        first = problems[0] if problems else {"where": "request", "what": "malformed"}
        return problem(422, "invalid_request", f"{first['where']}: {first['what']}", errors=problems)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> ProblemResponse:
        code = _CODES.get(error.status_code, "invalid_request")
        made = problem(error.status_code, code, str(error.detail))
        made.headers.update(error.headers or {})
        return made

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> ProblemResponse:
        # Outside of every middleware: the id is no longer bound, and no header is added on the way out.
        request_id = str(request.state.request_id)
        with bound(request_id=request_id):
            _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        made = problem(500, "internal", "an error of ours; the server's log has it", request_id=request_id)
        made.headers[REQUEST_ID_HEADER] = request_id
        return made


def _headers(error: LookalikeError) -> dict[str, str]:
    """What HTTP says of some errors beside the document."""
    if isinstance(error, RateLimited):
        return {"Retry-After": str(error.details["retry_after_s"])}
    if error.kind is ErrorKind.UNAUTHENTICATED:
        # RFC 6750, section 3: no error code where nothing was shown.
        shown = "" if isinstance(error, KeyMissing) else ', error="invalid_token"'
        return {"WWW-Authenticate": f'Bearer realm="lookalike"{shown}'}
    return {}


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else str(value)
        case str() | int() | bool() | None:
            return value
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return str(value)
