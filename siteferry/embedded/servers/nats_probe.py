"""One question to nats-server over a connection of its own: for a supervisor that must not share its event loop."""

from __future__ import annotations

import json
import secrets
import socket
from contextlib import suppress
from typing import Any

MOST = 1 << 20
SECONDS = 2.0

Answer = dict[str, Any]


def ask(port: int, login: str, inbox: str, subject: str, body: bytes = b"") -> Answer | None:
    """The JSON answer to a request; None when there is none within two seconds. Raises nothing.

    `login` is `user:password`, `inbox` the prefix of the user's inboxes.
    """
    user, _, password = login.partition(":")
    reply = f"{inbox}.{secrets.token_hex(8)}"
    options = {"user": user, "pass": password, "verbose": False, "pedantic": False, "headers": True}
    options |= {"no_responders": True, "name": "siteferry-probe", "lang": "python", "version": "1"}
    with suppress(OSError, ValueError), socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as stream:
        stream.settimeout(SECONDS)
        lines = stream.makefile("rb")
        if not lines.readline(MOST).startswith(b"INFO"):
            return None
        wish = f"CONNECT {json.dumps(options)}\r\nSUB {reply} 1\r\nPUB {subject} {reply} {len(body)}\r\n"
        stream.sendall(wish.encode() + body + b"\r\n")
        while line := lines.readline(MOST):
            if line.startswith(b"MSG"):
                answer = json.loads(lines.read(int(line.split()[-1])))
                return answer if isinstance(answer, dict) else None
            if line.startswith((b"HMSG", b"-ERR")):  # nobody is there to answer; not let in
                return None
            if line.startswith(b"PING"):
                stream.sendall(b"PONG\r\n")
    return None
