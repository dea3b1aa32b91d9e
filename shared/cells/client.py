"""Talks to the cells' launcher: one request, one answer, each a line of JSON on a unix socket.

    {"op": "ensure", "clone": "clone-…"}   hold the clone's sockets; its configuration is there
    {"op": "forget", "clone": "clone-…"}   end everything of it, now, and hold nothing any more
    {"op": "agent", "clone": "clone-…", "call": "administrator", "input": {…}, "seconds": 120}
    {"op": "wake" | "sleep", "clone": "clone-…"}
    {"op": "status"}

Answers are {"ok": true, …} or {"ok": false, "error": "…"}.
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from shared.engine.parts import OwnPartAway

CONNECT_SECONDS = 15.0
ANSWER_SECONDS = 30.0
MAX_ANSWER = 1_500_000


class CellsAway(OwnPartAway):
    """The launcher of the clones' cells does not answer: what it was to do is done once it is there again."""

    hint = "Look for lines of cells in siteferry.log; once they run, run the job again."

    def __init__(self, message: str) -> None:
        super().__init__("cells", message)


class AgentFailed(Exception):
    """What ran inside the cell did not answer as it should; the message holds its own words."""


class CellsClient:
    """Blocking, made for worker threads; one connection for each request."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def ensure(self, clone_id: str) -> None:
        """Have the launcher hold the clone's sockets. Raises CellsAway."""
        self._ask({"op": "ensure", "clone": clone_id})

    def forget(self, clone_id: str) -> None:
        """End every process of the clone and close its sockets. Raises CellsAway."""
        self._ask({"op": "forget", "clone": clone_id})

    def agent(self, clone_id: str, call: str, values: dict[str, Any], *, seconds: float = 120) -> dict[str, Any]:
        """Run one of the agent's scripts inside the clone's walls; its answer, which a hostile site may have chosen.

        Raises CellsAway, AgentFailed.
        """
        request = {"op": "agent", "clone": clone_id, "call": call, "input": values, "seconds": seconds}
        output = self._ask(request, seconds=seconds + ANSWER_SECONDS)["output"]
        if not isinstance(output, dict):
            raise AgentFailed("the answer is no object")
        return output

    def status(self) -> dict[str, Any]:
        """Level of isolation and the cells. Raises CellsAway."""
        return self._ask({"op": "status"})

    def wake(self, clone_id: str) -> None:
        """Start the cell as a request would. Raises CellsAway."""
        self._ask({"op": "wake", "clone": clone_id})

    def sleep(self, clone_id: str) -> None:
        """Stop the cell in order. Raises CellsAway."""
        self._ask({"op": "sleep", "clone": clone_id})

    def _ask(self, request: dict[str, Any], *, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        try:
            with self._connection() as connection:
                connection.settimeout(seconds)
                connection.sendall(json.dumps(request).encode() + b"\n")
                answer = json.loads(_line(connection))
        except (OSError, ValueError) as error:
            raise CellsAway(
                f"The launcher of the clones' cells does not answer ({error or type(error).__name__})."
            ) from error
        if not answer.get("ok"):
            raise AgentFailed(str(answer.get("error") or "no reason given"))
        return dict(answer)

    def _connection(self) -> socket.socket:
        """Patient while a launcher that died is started again."""
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self._control))
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)


def _line(connection: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        data = connection.recv(65536)
        if not data or len(received) > MAX_ANSWER:
            raise ValueError("the answer ends too early" if not data else "the answer is too long")
        received += data
    return bytes(received)
