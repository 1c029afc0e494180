"""A TCP proxy that misbehaves on demand, for tests against real servers: S3, Redis, Qdrant.

Between a client and a server on this machine; the mode can be changed at any time, also for connections that are open:

    proxy = FaultyProxy(server.port)
    proxy.start()
    proxy.refuse()        # connections are reset
    proxy.pass_all()      # as if it were not there
    proxy.stop()
"""

import contextlib
import random
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

_CHUNK = 65536
_LOOK_S = 0.05  # how often an idle connection looks whether it should end
_UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy"

Kind = Literal["pass", "refuse", "delay", "fail_share", "black_hole", "cut"]
Fault = Literal["503", "cut_request", "cut_response"]


@dataclass(frozen=True)
class _Mode:
    kind: Kind = "pass"
    seconds: float = 0.0
    share: float = 0.0
    faults: tuple[Fault, ...] = ()
    after_bytes: int = 0
    times: int = 0


class FaultyProxy:
    """Listens on ``port``, which stays the same, and speaks to ``target_port``. Starts in the mode :meth:`pass_all`.

    A request is what a client sends until the server answers: so it is with HTTP and with Redis without pipelines.
    """

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._mode = _Mode()
        self._random = random.Random(0)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.num_requests = 0
        self.num_faults = 0

    def start(self) -> None:
        """Accepts connections from now on."""
        self._listener.settimeout(_LOOK_S)
        self._start(self._accept)

    def stop(self) -> None:
        """Ends all connections and waits for the threads."""
        self._stopping.set()
        self._drop_all()
        while self._threads:
            self._threads.pop().join()
        self._listener.close()

    def pass_all(self) -> None:
        """Everything goes through."""
        self._become(_Mode())

    def refuse(self) -> None:
        """Connections are reset, those that are open and those to come: the server is down."""
        self._become(_Mode("refuse"))
        self._drop_all()

    def delay(self, seconds: float) -> None:
        """Each request waits that long before it goes on."""
        self._become(_Mode("delay", seconds=seconds))

    def fail_share(
        self, share: float, seed: int = 0, *, faults: tuple[Fault, ...] = ("503", "cut_request", "cut_response")
    ) -> None:
        """That share of the requests gets one of the ``faults``.

        ``503``: the answer of a busy HTTP server, and the request does not reach the server. ``cut_request``: the
        connection is reset when half of what came of the request was passed on. ``cut_response``: it is reset after
        the server got all of it and answered, with half of what came of the answer: the client does not know.
        """
        self._random = random.Random(seed)
        self._become(_Mode("fail_share", share=share, faults=faults))

    def cut_after(self, num_bytes: int, times: int) -> None:
        """The next ``times`` answers of over ``num_bytes`` are reset after so many bytes."""
        self._become(_Mode("cut", after_bytes=num_bytes, times=times))

    def black_hole(self) -> None:
        """Connections are accepted, and nothing that is sent has an answer."""
        self._become(_Mode("black_hole"))

    def _become(self, mode: _Mode) -> None:
        with self._lock:
            self._mode = mode

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            if self._mode.kind == "refuse":
                _reset(client)
            else:
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=60)
        except OSError:
            _reset(client)
            return
        ends = (client, server)
        with self._lock:
            self._open.update(ends)
        try:
            server.settimeout(None)
            self._exchange(client, server)
        except OSError:
            _reset(client)
        finally:
            with self._lock:
                self._open.difference_update(ends)
            for end in ends:
                end.close()

    def _exchange(self, client: socket.socket, server: socket.socket) -> None:
        """Passes on what comes from either side, as the mode of each request and answer says."""
        answering = True  # so that the first bytes of the client begin a request
        fault: Fault | None = None
        answered = 0
        for end in self._ready(client, server):
            came = end.recv(_CHUNK)
            if not came:
                return
            if end is client:
                if answering:
                    answering, answered, fault = False, 0, self._begin()
                if fault == "503":
                    client.sendall(_UNAVAILABLE)
                    return
                if fault == "cut_request":
                    server.sendall(came[: len(came) // 2])
                    raise ConnectionResetError
                if self._mode.kind != "black_hole":
                    server.sendall(came)
            else:
                answering = True
                if self._mode.kind == "black_hole":
                    continue
                if fault == "cut_response":
                    client.sendall(came[: len(came) // 2])
                    raise ConnectionResetError
                kept = self._kept(answered, len(came))
                client.sendall(came[:kept])
                if kept < len(came):
                    raise ConnectionResetError
                answered += kept

    def _ready(self, *ends: socket.socket) -> Iterator[socket.socket]:
        """Whichever end has something to read, until the proxy stops."""
        with selectors.DefaultSelector() as selector:
            for end in ends:
                selector.register(end, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(_LOOK_S):
                    yield key.fileobj  # type: ignore[misc]

    def _begin(self) -> Fault | None:
        """What becomes of the request that begins now."""
        with self._lock:
            mode = self._mode
            self.num_requests += 1
            failing = mode.kind == "fail_share" and self._random.random() < mode.share
            fault = self._random.choice(mode.faults) if failing else None
            self.num_faults += failing
        if mode.kind == "delay":
            self._stopping.wait(mode.seconds)
        return fault

    def _kept(self, answered: int, length: int) -> int:
        """How much of the next ``length`` bytes of an answer goes through."""
        with self._lock:
            mode = self._mode
            if mode.kind != "cut" or not mode.times or answered + length <= mode.after_bytes:
                return length
            self._mode = _Mode("cut", after_bytes=mode.after_bytes, times=mode.times - 1)
            self.num_faults += 1
            return max(mode.after_bytes - answered, 0)

    def _drop_all(self) -> None:
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def _reset(client: socket.socket) -> None:
    """Closes with a reset instead of an orderly end: what the peer of a killed server sees."""
    with contextlib.suppress(OSError):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
