"""Errors as the embedder's servers send them: RFC 9457 problem documents with a stable ``code``."""

from lookalike.errors import ErrorKind, LookalikeError

PROBLEM_TYPE = "application/problem+json"
STATUS = {
    ErrorKind.INVALID: 422,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 412,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED: 415,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.INTERNAL: 500,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.LIMITED: 429,
}


def problem(error: LookalikeError) -> dict[str, object]:
    """The document of ``error``; its ``status`` is the one to answer with."""
    return {"title": error.message, "status": STATUS[error.kind], "code": error.code, **error.details}
