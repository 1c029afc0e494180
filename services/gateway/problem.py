"""Errors as RFC 9457 problem+json: the one place where a kind becomes an HTTP status."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lookalike.errors import ErrorKind, LookalikeError

STATUS = {
    ErrorKind.INVALID: 422,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED: 415,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.INTERNAL: 500,
}
MEDIA_TYPE = "application/problem+json"


def problem(status: int, code: str, detail: str, **members: object) -> JSONResponse:
    """One problem document; ``members`` are its extensions."""
    body = {"type": "about:blank", "status": status, "title": code.replace("_", " "), "code": code, "detail": detail}
    return JSONResponse(
        {**{key: _plain(value) for key, value in members.items()}, **body}, status, media_type=MEDIA_TYPE
    )


def from_error(error: LookalikeError) -> dict[str, object]:
    """An error as a member of a larger answer."""
    return {"code": error.code, "detail": error.message, "status": STATUS[error.kind]}


def install(app: FastAPI) -> None:
    """Makes every error of ``app`` a problem document."""

    @app.exception_handler(LookalikeError)
    async def _expected(request: Request, error: LookalikeError) -> JSONResponse:
        return problem(STATUS[error.kind], error.code, error.message, **error.details)

    @app.exception_handler(RequestValidationError)
    async def _malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = [
            {"where": ".".join(str(part) for part in found["loc"]), "what": found["msg"]} for found in error.errors()
        ]
        first = problems[0] if problems else {"where": "request", "what": "malformed"}
        return problem(422, "invalid_request", f"{first['where']}: {first['what']}", errors=problems[:20])

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        return problem(error.status_code, code, str(error.detail))


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
