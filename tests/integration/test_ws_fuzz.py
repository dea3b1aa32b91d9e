"""What nobody would say over `/ws`, said to a real status process: it closes, answers or ignores, and goes on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from services.status.live import frames
from services.status.live.lists import TOPICS
from shared.ids import new_id
from tests.live.stack import StatusProcess, nats_house, status_process

HUNG_UP = 0
"""Its last word got lost: that is what TCP does with a message that comes after the end."""
CODES = {
    *(frames.BAD_MESSAGE, frames.UNAUTHENTICATED, frames.NO_HELLO, frames.DUPLICATE, frames.TOO_MANY),
    *(1002, 1003, 1007, 1009),  # what the protocol itself has for it
    HUNG_UP,
}
GROWTH = 48 << 20
"""Bytes the process may grow by: its memory is not a thousandth of what was said."""
SURROGATE = re.compile("[\ud800-\udfff]")
TALKS = 150
PATIENCE = 20.0
BOUNDED = settings(max_examples=TALKS, deadline=None, database=None, suppress_health_check=list(HealthCheck))

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.just("\ud800")
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5)
)
types = st.sampled_from(["hello", "sub", "unsub", "ping", "HELLO", "snap", ""]) | anything
fields = st.fixed_dictionaries(
    {"type": types},
    optional={
        "v": st.just(1) | anything,
        "id": st.sampled_from(["a", "b", "a" * 65]) | anything,
        "job": st.just(new_id("clone")) | anything,
        "list": st.sampled_from(TOPICS) | anything,
        "after": st.fixed_dictionaries({"seq": st.integers() | anything, "epoch": st.text(max_size=70)}) | anything,
        "token": st.text(max_size=5000) | anything,
        "k": st.integers() | anything,
    },
)
texts = (
    (fields | anything).map(json.dumps)
    | st.text(max_size=300)
    | st.sampled_from(
        ["[" * 8000, '{"a":' * 3000, "9" * 16000, '{"type":"ping","k":' + "1" * 5000 + "}", "x" * 16385, "\0"]
    )
)
messages = texts | st.binary(max_size=300)
raw_frames = st.binary(max_size=64) | st.builds(
    lambda first, length, rest: bytes([first, 0x80 | 127]) + struct.pack(">Q", length) + rest,
    st.integers(0, 255),
    st.sampled_from([0, 1, 125, 1 << 14, 1 << 31, (1 << 63) - 1, (1 << 64) - 1]),
    st.binary(max_size=64),
)


@pytest.fixture(scope="module")
async def status() -> AsyncIterator[StatusProcess]:
    with nats_house() as house:
        async with house.bus():  # makes the streams
            pass
        async with status_process(house) as process:
            yield process


@contextmanager
def greeted(url: str) -> Iterator[ClientConnection]:
    """A connection that has said hello."""
    with connect(url, compression=None, open_timeout=PATIENCE) as opened:
        opened.send('{"type":"hello","v":1}')
        assert json.loads(opened.recv(PATIENCE))["type"] == "ready"
        yield opened


def answered(opened: ClientConnection) -> bool:
    """Whether a ping is answered in time, whatever comes before."""
    mark = new_id("clone")
    opened.send(json.dumps({"type": "ping", "k": mark}))
    for _ in range(500):
        if json.loads(opened.recv(PATIENCE)).get("k") == mark:
            return True
    return False


def memory(status: StatusProcess) -> int:
    pages = int(Path(f"/proc/{status.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def unharmed(status: StatusProcess, attack: Callable[[], None]) -> None:
    """Run an attack twice: the process neither dies, complains nor grows."""
    await asyncio.to_thread(attack)  # what it loads once is no growth
    before = memory(status)
    await asyncio.to_thread(attack)
    assert status.process.poll() is None
    assert memory(status) - before < GROWTH
    assert "Traceback" not in status.text(), status.text()[-3000:]


async def test_messages_nobody_would_send(status: StatusProcess) -> None:
    def attack() -> None:
        with greeted(status.ws_url) as witness:

            @BOUNDED
            @given(hello=st.booleans(), said=st.lists(messages, min_size=1, max_size=12))
            def talk(hello: bool, said: list[str | bytes]) -> None:
                code = said_to(status.ws_url, hello, said)
                assert code is None or code in CODES, code
                assert answered(witness)

            talk()

    await unharmed(status, attack)


def said_to(url: str, hello: bool, said: list[str | bytes]) -> int | None:
    """How the server ended a conversation; None when whoever said all that is still served."""
    with greeted(url) if hello else connect(url, compression=None, open_timeout=PATIENCE) as opened:
        try:
            for message in said:
                opened.send(_sendable(message))
            assert answered(opened)
        except ConnectionClosed as closed:
            return HUNG_UP if closed.rcvd is None else closed.rcvd.code
    return None


async def test_bytes_that_are_no_messages(status: StatusProcess) -> None:
    where = urlsplit(status.ws_url)
    upgrade = (
        f"GET /ws HTTP/1.1\r\nHost: {where.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    def attack() -> None:
        with greeted(status.ws_url) as witness:

            @BOUNDED
            @given(pieces=st.lists(raw_frames, min_size=1, max_size=8))
            def talk(pieces: list[bytes]) -> None:
                with socket.create_connection((str(where.hostname), int(where.port or 0)), PATIENCE) as stream:
                    stream.sendall(upgrade.encode())
                    assert stream.recv(4096).startswith(b"HTTP/1.1 101 ")
                    with suppress(OSError):  # it may have hung up already
                        stream.sendall(b"".join(pieces))
                assert answered(witness)

            talk()

    await unharmed(status, attack)


def _sendable(message: str | bytes) -> str | bytes:
    """Texts as UTF-8, as far as they can be: half a pair is sent as bytes."""
    half = isinstance(message, str) and SURROGATE.search(message)
    return message.encode("utf-8", "surrogatepass") if isinstance(message, str) and half else message
