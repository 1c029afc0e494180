"""The listening socket and the server on it, which stops cleanly."""

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from services.gateway.connections import MAX_HEAD_BYTES, patient_for

SLOW_S = 20.0
FINISH_S = 5  # for requests under way when the server is told to stop


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; connections are refused until :func:`serve`. Raises OSError where the port is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def url_of(listening: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: FastAPI,
    listening: socket.socket,
    ready: Callable[[str], None],
    *,
    slow_s: float = SLOW_S,
    finish_s: int = FINISH_S,
) -> None:
    """Serves until SIGINT or SIGTERM; ``ready`` is told the address once requests are answered."""
    try:
        server = make_server(app, lambda: ready(url_of(listening)), slow_s=slow_s, finish_s=finish_s)
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn has stopped already and passes the signal on
        return


def make_server(
    app: FastAPI, ready: Callable[[], None] = lambda: None, *, slow_s: float = SLOW_S, finish_s: int = FINISH_S
) -> uvicorn.Server:
    """A server that cuts clients off that take longer than ``slow_s`` seconds for the head of a request.

    Told to stop, it takes no further request and gives those under way ``finish_s`` seconds.
    Where a request comes from is settled by the application, which alone knows the proxies that are to be believed.
    """
    config = uvicorn.Config(
        app,
        http=patient_for(slow_s),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        proxy_headers=False,
        server_header=False,
        log_config=None,  # its log goes where that of the whole process does; requests have lines of our own
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=finish_s,
    )
    return _Server(config, ready)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
