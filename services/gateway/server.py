"""The listening socket and the server on it, which stops cleanly."""

import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

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


def serve(app: FastAPI, listening: socket.socket, ready: Callable[[str], None]) -> None:
    """Serves until SIGINT or SIGTERM; ``ready`` is told the address once requests are answered."""
    # Its log goes where that of the whole process does; requests have lines of our own.
    config = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=FINISH_S
    )
    try:
        _Server(config, lambda: ready(url_of(listening))).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn has stopped already and passes the signal on
        return


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()
