"""What a worker shows over HTTP: its metrics, and whether it lives and receives work."""

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lookalike.settings import Settings
from lookalike.telemetry.metrics import exposed

_TIMEOUT_S = 10.0  # of one who connects and asks for nothing


class Receiving:
    """Whether messages reach this worker: from the moment it has subscribed until its connection is lost or it ends."""

    def __init__(self) -> None:
        self._now = threading.Event()

    def begin(self) -> None:
        self._now.set()

    def end(self) -> None:
        self._now.clear()

    def __bool__(self) -> bool:
        return self._now.is_set()


@dataclass(frozen=True)
class WorkerServer:
    """Answers until it is closed."""

    port: int
    _server: ThreadingHTTPServer
    _thread: threading.Thread

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_worker(settings: Settings, receiving: Receiving) -> WorkerServer | None:
    """``/metrics``, ``/healthz`` and ``/readyz`` on ``telemetry.metrics_port``; None where that is not set.

    ``/healthz`` is 200 as long as the process runs at all: what it depends on is no reason to end it, and a unit that
    hangs ends its process by itself (``queue.unit_limit_s``). ``/readyz`` is 200 while ``receiving``, else 503.

    Raises MissingExtra without ``prometheus_client``, OSError where the port is taken.
    """
    options = settings.telemetry
    if options.metrics_port is None:
        return None
    registry = exposed()
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    def healthz() -> tuple[int, str, bytes]:
        return 200, "text/plain", b"ok\n"

    def readyz() -> tuple[int, str, bytes]:
        return (200, "text/plain", b"ready\n") if receiving else (503, "text/plain", b"the queue does not answer\n")

    def metrics() -> tuple[int, str, bytes]:
        return 200, CONTENT_TYPE_LATEST, generate_latest(registry)

    answers = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics}
    kind = _Server6 if ":" in options.metrics_host else _Server
    server = kind((options.metrics_host, options.metrics_port), _handler(answers))
    thread = threading.Thread(target=server.serve_forever, name="worker-http", daemon=True)
    thread.start()
    return WorkerServer(server.server_port, server, thread)


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


def _handler(answers: dict[str, Callable[[], tuple[int, str, bytes]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, *, with_body: bool) -> None:
            found = answers.get(self.path.partition("?")[0])
            status, kind, body = (404, "text/plain", b"not found\n") if found is None else found()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes and scrapes have no lines in the log."""

        def version_string(self) -> str:
            return "lookalike"

    return Handler
