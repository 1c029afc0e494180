"""A connection to addresses that were checked, every read and write of which ends at one deadline."""

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")
_PORTS = {False: 80, True: 443}


class Deadline:
    """A moment ``timeout_s`` from now."""

    def __init__(self, timeout_s: float) -> None:
        self._end = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Seconds until then. Raises TimeoutError when it is past."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def run(self, work: Callable[[], T]) -> T:
        """``work()``, for which nobody waits longer: what cannot be interrupted is left to end by itself.

        Raises TimeoutError, and what ``work`` raises.
        """
        outcome: Future[T] = Future()

        def deliver() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
                outcome.set_exception(error)

        threading.Thread(target=deliver, name="deadline", daemon=True).start()
        return outcome.result(self.left_s())


class PinnedConnection(http.client.HTTPConnection):
    """To one of ``addresses``, with ``host`` in the Host header, in SNI and in the certificate's check.

    :meth:`release` must be called at the end; http.client itself closes nothing here.
    """

    def __init__(
        self, host: str, port: int, addresses: Sequence[str], tls: ssl.SSLContext | None, deadline: Deadline
    ) -> None:
        super().__init__(host, port)
        self.default_port = _PORTS[tls is not None]
        self._addresses = addresses
        self._tls = tls
        self._deadline = deadline
        self._real: socket.socket | None = None

    def connect(self) -> None:
        """The first address that answers. Raises the last one's OSError."""
        for position, address in enumerate(self._addresses):
            # No address takes all the time from those after it.
            share_s = self._deadline.left_s() / (len(self._addresses) - position)
            try:
                self._real = socket.create_connection((address, self.port), timeout=share_s)
                break
            except OSError:
                if position == len(self._addresses) - 1:
                    raise
        assert self._real is not None  # noqa: S101 -- the loop ends with a connection or an error
        if self._tls is not None:
            self._real.settimeout(self._deadline.left_s())
            self._real = self._tls.wrap_socket(self._real, server_hostname=self.host)
        self.sock = _TimedSocket(self._real, self._deadline)

    def release(self) -> None:
        """Closes the connection."""
        self.close()
        if self._real is not None:
            self._real.close()


class _TimedSocket:
    """What http.client uses of a socket. A socket's own timeout begins anew with every byte that drips in."""

    def __init__(self, real: socket.socket, deadline: Deadline) -> None:
        self._real = real
        self._deadline = deadline

    def sendall(self, data: Any) -> None:
        self._real.settimeout(self._deadline.left_s())
        self._real.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._real, self._deadline))

    def close(self) -> None:
        """The connection's owner closes the real one, after the last answer was read."""


class _TimedReader(io.RawIOBase):
    def __init__(self, real: socket.socket, deadline: Deadline) -> None:
        self._real = real
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._real.settimeout(self._deadline.left_s())
        return self._real.recv_into(buffer)
