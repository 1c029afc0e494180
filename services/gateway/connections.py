"""Connections of clients that take their time."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_HEAD_BYTES = 16 * 1024


def patient_for(slow_s: float) -> type[H11Protocol]:
    """uvicorn's protocol, on connections that are closed where the head of the next request takes longer than that.

    uvicorn itself counts only the time without a byte, and none before the first request: a client that sends one now
    and then would hold its connection for ever. Also closes one that goes on with the body of a refused request.
    """

    class PatientProtocol(H11Protocol):
        _overdue: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_at_work():
                self._stop_waiting()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._is_at_work():
                self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def _is_at_work(self) -> bool:
            return self.cycle is not None and not self.cycle.response_complete

        def _await_head(self) -> None:
            self._stop_waiting()
            self._overdue = self.loop.call_later(slow_s, self._give_up)

        def _stop_waiting(self) -> None:
            if self._overdue is not None:
                self._overdue.cancel()
                self._overdue = None

        def _give_up(self) -> None:
            if not self._is_at_work() and not self.transport.is_closing():
                self.transport.close()

    return PatientProtocol
