"""Connections: how many there may be, and how long each may take for a request."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_S = 30.0  # from the connection, or the answer before, to the last byte of the answer
CONNECTIONS = 256


class PatientProtocol(H11Protocol):
    """HTTP that cuts off clients that send or read slowly, wherever they dawdle.

    uvicorn itself waits for ever for a request's first line, its body, and its reader.
    """

    deadline: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.restart()
        if len(self.connections) > CONNECTIONS:
            transport.abort()

    def restart(self) -> None:
        self.deadline = self.loop.call_later(REQUEST_S, self.transport.abort)

    def on_response_complete(self) -> None:
        self.deadline.cancel()
        self.restart()  # also for what is written, but not yet read
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline.cancel()
        super().connection_lost(exc)
