"""Servers in the supervisor's event loop, which leave signals to it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

_FINISH_S = 5


def bind(host: str, port: int) -> socket.socket:
    """A bound socket, of a free port for 0. Raises OSError where the port is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago, for servers that cannot be given a socket."""
    with bind("127.0.0.1", 0) as probe:
        return port_of(probe)


def port_of(bound: socket.socket) -> int:
    port: int = bound.getsockname()[1]
    return port


class Listener(uvicorn.Server):
    """One application on one bound socket. ``serve`` it as a task; setting ``should_exit`` ends that."""

    def __init__(self, app: FastAPI, bound: socket.socket) -> None:
        options = {"log_config": None, "log_level": "warning", "access_log": False, "ws": "none", "lifespan": "off"}
        super().__init__(uvicorn.Config(app, timeout_graceful_shutdown=_FINISH_S, **options))  # type: ignore[arg-type]
        self._bound = bound

    async def run_here(self) -> None:
        await self.serve(sockets=[self._bound])

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
