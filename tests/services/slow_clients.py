"""A gateway on a real socket, and clients that speak to it byte by byte."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from services.gateway.server import listen, make_server

TIMEOUT_S = 30.0


@dataclass
class Client:
    """One connection."""

    socket: socket.socket

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def trickle(self, data: bytes, every_s: float, at_once: int = 1) -> bytes:
        """Sends ``data`` a byte at a time, or several, until it is answered or cut off; what was answered."""
        answered = b""
        try:
            for start in range(0, len(data), at_once):
                self.socket.settimeout(every_s)
                self.socket.sendall(data[start : start + at_once])
                try:
                    answered = self.socket.recv(65536)
                except TimeoutError:
                    continue
                break
            return answered + self.rest()
        except OSError:
            return answered

    def rest(self) -> bytes:
        """Everything until the server closes the connection."""
        self.socket.settimeout(TIMEOUT_S)
        answered = b""
        try:
            while more := self.socket.recv(65536):
                answered += more
        except ConnectionError:
            pass
        return answered


@contextmanager
def served(app: FastAPI, *, slow_s: float) -> Iterator[int]:
    """The port of ``app``, served as the gateway serves it."""
    listening = listen("127.0.0.1", 0)
    ready = threading.Event()
    server: uvicorn.Server = make_server(app, ready.set, slow_s=slow_s)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert ready.wait(TIMEOUT_S)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def connected(port: int) -> Iterator[Client]:
    made = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    try:
        yield Client(made)
    finally:
        made.close()


@contextmanager
def within(least_s: float, most_s: float) -> Iterator[None]:
    """What is in it takes about that long."""
    started_s = time.monotonic()
    yield
    took_s = time.monotonic() - started_s
    assert least_s <= took_s <= most_s, took_s
