"""A TCP server on this machine that answers each connection as the test says, and keeps what it was asked."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

Behave = Callable[[socket.socket, "ScriptedServer"], None]


class ScriptedServer:
    """Listens on 127.0.0.1 until :meth:`close`. ``requests`` are the heads of what was asked, as text."""

    def __init__(self, behave: Behave, tls: ssl.SSLContext | None = None) -> None:
        self._behave = behave
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[str] = []
        self.stopped = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def drip(self, connection: socket.socket, data: bytes, pause_s: float = 0.01) -> None:
        """Sends one byte after the other until the client or the test ends it."""
        for position in range(len(data)):
            if self.stopped.wait(pause_s):
                return
            connection.sendall(data[position : position + 1])

    def close(self) -> None:
        self.stopped.set()
        with contextlib.suppress(OSError):  # wakes accept()
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._threads[0].join(timeout=5)  # no connection comes after this
        self._listening.close()
        for thread in self._threads[1:]:
            thread.join(timeout=5)

    def _accept(self) -> None:
        while not self.stopped.is_set():
            connection, _ = self._listening.accept()
            thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _answer(self, connection: socket.socket) -> None:
        # A client that hangs up is what half of the tests are about.
        with contextlib.suppress(OSError), connection:
            stream = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
            with stream:
                self._serve(stream)

    def _serve(self, stream: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = stream.recv(4096)
            if not received:
                return
            head += received
        self.requests.append(head.decode("latin-1"))
        self._behave(stream, self)


def answering(body: bytes, *headers: str, status: str = "200 OK", length: bool = True) -> Behave:
    """A whole answer, then the connection ends."""

    def behave(connection: socket.socket, server: ScriptedServer) -> None:
        lines = [f"HTTP/1.1 {status}", *headers, *([f"Content-Length: {len(body)}"] if length else [])]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return behave


def redirecting(target: str, status: int = 302) -> Behave:
    return answering(b"", f"Location: {target}", status=f"{status} Elsewhere")
