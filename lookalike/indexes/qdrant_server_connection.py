"""One Qdrant server: clients made when they are needed, and their failures as ours."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lookalike.errors import DamagedArtifact, DependencyUnavailable, LookalikeError, MissingExtra
from lookalike.indexes.qdrant_server_options import ServerOptions

_BUSY = (408, 429, 500, 502, 503, 504)  # statuses of what may be otherwise in a moment
# Seconds between two tries of a gRPC channel grow to two minutes by default, long after the server is back.
_GRPC_OPTIONS = {"grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 1000}


class PassingFailure(DependencyUnavailable):
    """The server does not answer, or is busy: the same request may succeed in a moment."""


@dataclass(frozen=True)
class Clients:
    """``points`` speaks gRPC where ``is_grpc``, for uploads and searches; else it is ``rest``."""

    rest: Any
    points: Any
    is_grpc: bool


def models() -> Any:
    """The client's classes. Raises MissingExtra."""
    try:
        from qdrant_client import models as found
    except ImportError as error:
        raise MissingExtra("qdrant-client", "qdrant") from error
    return found


class Connection:
    """The way to one server. Safe for several threads; asks nothing before it is used.

    Args:
        url_or_client: where the server is, or a ``QdrantClient``.
        timeout_s: of one request.
        one_waits: while the server does not answer, one caller at a time waits for it and the others are told at
            once, so that searches of it do not take the threads of those that do without it.
    """

    def __init__(
        self, url_or_client: Any, options: ServerOptions, timeout_s: float, *, one_waits: bool = False
    ) -> None:
        self.timeout_s = timeout_s
        self._lock = threading.Lock()
        self._clients: Clients | None = None
        self._connect: Callable[[], Clients] = lambda: Clients(url_or_client, url_or_client, False)
        self._where = "the Qdrant server"
        if isinstance(url_or_client, str):
            parts = urlsplit(url_or_client)
            self._where += f" at {parts.hostname}" + (f":{parts.port}" if parts.port else "")
            self._connect = lambda: _clients(url_or_client, options, timeout_s)
        self._one_waits = one_waits
        self._waiting = threading.Lock()
        self._silence: str | None = None  # why the last request got no answer

    @contextmanager
    def reached(self, collection: str) -> Iterator[Clients]:
        """The clients, with their failures as ours: no key and no URL with a password gets into a message.

        Raises DependencyUnavailable, as PassingFailure where trying again makes sense; DamagedArtifact where there
        is no ``collection``.
        """
        clients = self._connected()
        silence = self._silence if self._one_waits else None
        is_waiting = silence is not None and self._waiting.acquire(blocking=False)
        if silence is not None and not is_waiting:
            raise self._unanswered(silence)
        try:
            yield clients
        except _failures() as error:
            raise self._as_ours(error, collection) from error
        else:
            self._silence = None
        finally:
            if is_waiting:
                self._waiting.release()

    def _connected(self) -> Clients:
        with self._lock:
            if self._clients is None:
                models()
                self._clients = self._connect()
            return self._clients

    def _as_ours(self, error: Exception, collection: str) -> LookalikeError:
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        status: int | None
        if isinstance(error, ResponseHandlingException):
            status, reason = None, type(error.source).__name__
        elif isinstance(error, UnexpectedResponse):
            status, reason = error.status_code, error.reason_phrase
        else:
            status, reason = _status_of(error)
        self._silence = reason if status is None else None
        if status is None:
            return self._unanswered(reason)
        if status == 404:
            return DamagedArtifact(f"{self._where} has no collection {collection}", collection=collection)
        kind = PassingFailure if status in _BUSY else DependencyUnavailable
        return kind(f"{self._where} answers {status} {reason}".rstrip(), dependency="qdrant", status=status)

    def _unanswered(self, reason: str) -> PassingFailure:
        return PassingFailure(f"{self._where} does not answer: {reason}", dependency="qdrant", reason=reason)


def _clients(url: str, options: ServerOptions, timeout_s: float) -> Clients:
    from qdrant_client import QdrantClient

    def client(**more: Any) -> Any:
        return QdrantClient(url=url, api_key=options.api_key, timeout=timeout_s, check_compatibility=False, **more)

    rest = client()
    if options.grpc_port is None:
        return Clients(rest, rest, False)
    return Clients(rest, client(prefer_grpc=True, grpc_port=options.grpc_port, grpc_options=dict(_GRPC_OPTIONS)), True)


def _failures() -> tuple[type[Exception], ...]:
    from grpc import RpcError  # type: ignore[import-untyped]
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    return ResponseHandlingException, UnexpectedResponse, ResourceExhaustedResponse, RpcError


def _status_of(error: Any) -> tuple[int | None, str]:
    """The status in HTTP's numbers and its name, of a gRPC call or a limit that was hit; None: no answer."""
    from grpc import RpcError, StatusCode

    if not isinstance(error, RpcError):
        return 429, "Too Many Requests"
    code = error.code()
    statuses = {
        StatusCode.UNAVAILABLE: None,
        StatusCode.DEADLINE_EXCEEDED: None,
        StatusCode.CANCELLED: None,
        StatusCode.NOT_FOUND: 404,
        StatusCode.RESOURCE_EXHAUSTED: 429,
        StatusCode.INTERNAL: 500,
        StatusCode.UNKNOWN: 500,
        StatusCode.UNAUTHENTICATED: 401,
        StatusCode.PERMISSION_DENIED: 403,
    }
    return statuses.get(code, 400), code.name
