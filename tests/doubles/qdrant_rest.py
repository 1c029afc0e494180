"""A test double of a Qdrant server: it speaks those of Qdrant's REST routes over the wire that our adapter uses.

It is no Qdrant (see ``qdrant_points.py``). It can be stopped and started again on its port with what it held, as a
server that was killed can, and made to fail. The same tests run against a real server where QDRANT_URL names one.
"""

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from doubles.qdrant_points import Json, Points, Refused

MAX_BODY_BYTES = 32 * 2**20  # Qdrant's own default
DROPPED = 0  # what a fault says to end a connection without an answer

# A fault is told each request's method and path before it is worked on, and may say the status to answer with.
Fault = Callable[[str, str], int | None]

_Route = Callable[[Points, tuple[str, ...], Json], Json]
_ROUTES: list[tuple[str, str, _Route]] = [
    ("GET", "/aliases", lambda points, names, body: points.list_aliases()),
    ("POST", "/collections/aliases", lambda points, names, body: points.change_aliases(body)),
    ("GET", "/collections/{}/exists", lambda points, names, body: {"exists": _exists(points, *names)}),
    ("GET", "/collections/{}", lambda points, names, body: points.info(*names)),
    ("PUT", "/collections/{}", lambda points, names, body: points.create(*names, body)),
    ("PATCH", "/collections/{}", lambda points, names, body: points.update(*names, body)),
    ("DELETE", "/collections/{}", lambda points, names, body: points.delete_collection(*names)),
    ("PUT", "/collections/{}/index", lambda points, names, body: points.create_index(*names, body)),
    ("PUT", "/collections/{}/points", lambda points, names, body: points.upsert(*names, body)),
    ("POST", "/collections/{}/points", lambda points, names, body: points.retrieve(*names, body)),
    ("POST", "/collections/{}/points/count", lambda points, names, body: points.count(*names, body)),
    ("POST", "/collections/{}/points/scroll", lambda points, names, body: points.scroll(*names, body)),
    ("POST", "/collections/{}/points/delete", lambda points, names, body: points.delete_points(*names, body)),
    ("POST", "/collections/{}/points/query/batch", lambda points, names, body: points.query_batch(*names, body)),
    ("GET", "/collections/{}/snapshots", lambda points, names, body: points.named(*names).snapshots),
    ("POST", "/collections/{}/snapshots", lambda points, names, body: points.create_snapshot(*names)),
    ("DELETE", "/collections/{}/snapshots/{}", lambda points, names, body: points.delete_snapshot(*names)),
]
_PATTERNS = [(method, re.compile(path.replace("{}", "([^/]+)")), route) for method, path, route in _ROUTES]


class QdrantDouble:
    """A server on a port of this machine; ``points`` is what it holds, ``requests`` what it was asked.

    Args:
        indexing_s: how long a collection is yellow after it was told to index.
    """

    def __init__(self, indexing_s: float = 0.0) -> None:
        self.points = Points(indexing_s)
        self.fault: Fault = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[int] = []  # bytes of each request
        self.port = 0
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Again on the same port, after the first time."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """Connections end at once and new ones are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.end_connections()
            self._server = None

    def __enter__(self) -> "QdrantDouble":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, method: str, path: str, body: Json) -> Json:
        """The result of one request. Raises Refused."""
        for known, pattern, route in _PATTERNS:
            found = pattern.fullmatch(path)
            if known == method and found is not None:
                return route(self.points, found.groups(), body)
        raise Refused(404, f"no route {method} {path}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False

    def __init__(self, *arguments: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that the client or the test ended is no news."""

    def end_connections(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(double: QdrantDouble) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def _handle(self) -> None:
            size_bytes = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size_bytes)
            path = self.path.partition("?")[0]
            double.requests.append((self.command, path))
            double.bodies.append(size_bytes)
            status = double.fault(self.command, path)
            if status == DROPPED:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            said: dict[str, Json] = {"time": 0.0}
            try:
                if status is not None:
                    raise Refused(status, "a fault of the test")
                if size_bytes > MAX_BODY_BYTES:
                    raise Refused(413, "Payload too large")
                said |= {"result": double.answer(self.command, path, json.loads(body or b"null")), "status": "ok"}
                status = 200
            except Refused as refused:
                said |= {"result": None, "status": {"error": str(refused)}}
                status = refused.status
            answer = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _handle

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Handler


def _exists(points: Points, name: str) -> bool:
    return name in points.collections or name in points.aliases
