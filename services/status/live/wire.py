"""The short way to a WebSocket's transport: a frame made once is written as it is to everybody who watches.

Sending through ASGI costs each client a task's wake-up and a serialisation of its own, several times what the system
call costs. Frames without extensions carry no state, so the same bytes are right for every connection.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode

EXTENSION = "siteferry.wire"
"""Where the endpoint finds its connection's wire in the ASGI scope's extensions."""


class Wire(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket connection, which also takes ready-made frames."""

    def handle_connect(self, event: object) -> None:
        """Answer the handshake; the application finds us in its scope."""
        super().handle_connect(event)  # type: ignore[arg-type]
        if not self.close_sent:
            self.scope["extensions"][EXTENSION] = self  # type: ignore[assignment]

    def clear(self) -> bool:
        """Whether a frame written now goes on its way, and does not pile up behind others."""
        return self.writable.is_set() and not (self.close_sent or self.disconnected)

    def push(self, data: bytes) -> None:
        """Write whole frames. Nothing happens on a connection that is ending."""
        if not (self.close_sent or self.disconnected):
            self.transport.write(data)

    async def drained(self, within: float) -> bool:
        """Wait until the client takes more; False when it did not in that many seconds."""
        if self.writable.is_set():
            return True
        try:
            async with asyncio.timeout(within):
                await self.writable.wait()
        except TimeoutError:
            return False
        return True


def text_frame(text: str) -> bytes:
    """A text as an unfragmented frame of a server without extensions."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
