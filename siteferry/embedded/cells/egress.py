"""The one way out of a cell: a SOCKS 5 proxy (RFC 1928) on a socket in it, for the hosts its owner allowed.

The process that serves it (`helper`) knows one clone only, and reads and writes no file. The clone's own address leads
to its own web server, past the edge, which would answer for everybody else's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.own import is_this_machine
from shared.wordpress.addresses import embedded_ipv4, is_localhost, refusal
from siteferry.embedded.cells.facts import cell_facts
from siteferry.embedded.cells.helper import Duty, Helper
from siteferry.embedded.cells.sandbox import Account
from siteferry.embedded.cells.settings import CellSettings

SILENT_SECONDS = 120.0
"""A connection nothing passes through for so long is closed."""
DIAL_SECONDS = 15.0
MOST = 16
"""Connections of one clone at the same time."""
PORTS = frozenset({80, 443})
"""Ports of an allowed host that was given without one: it is HTTP that was allowed, not mail."""
OK, REFUSED, UNREACHABLE, UNKNOWN_COMMAND, UNKNOWN_ADDRESS = 0, 2, 4, 7, 8


@dataclass(frozen=True)
class Rules:
    """What one clone may call."""

    own_host: str
    own_socket: str
    allowed: frozenset[str]
    allow_private: bool
    refused_ports: frozenset[int]

    def permits(self, host: str, port: int) -> bool:
        """Whether its owner allowed this host, on this port."""
        return f"{host}:{port}" in self.allowed or (host in self.allowed and (port in PORTS or self._is_local(host)))

    def is_itself(self, host: str, port: int) -> bool:
        """Whether this is the clone's own address."""
        return host == self.own_host

    def refuses(self, address: str, port: int) -> str | None:
        """Why an address a permitted host leads to must not be called."""
        ip = embedded_ipv4(ipaddress.ip_address(address.partition("%")[0]))
        if port in self.refused_ports and is_this_machine(ip):
            return "is a port of Siteferry's own"
        return refusal(ip, allow_private=self.allow_private)

    def _is_local(self, host: str) -> bool:
        return self.allow_private and is_localhost(host)


def rules_of(settings: CellSettings, clone_id: str) -> Rules:
    """From what was written when the clone was made; nothing is allowed when that can not be read."""
    allowed: list[str] = []
    with suppress(OSError, ValueError, KeyError, TypeError):
        allowed = [str(host).lower().rstrip(".") for host in cell_facts(settings, clone_id)["allow_http"]]
    return Rules(
        own_host=f"{clone_id}.localhost",
        own_socket=str(settings.web_socket(clone_id)),
        allowed=frozenset(allowed),
        allow_private=settings.allow_private,
        refused_ports=frozenset({settings.edge_port, *settings.refused_ports}),
    )


def egress(settings: CellSettings, clone_id: str, account: Account, directory: Path) -> Helper:
    """The way out of one clone."""

    def duty() -> Duty:
        rules = rules_of(settings, clone_id)

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await _connection(reader, writer, rules)

        return Duty(f"the way out of {rules.own_host}", lambda: talk, most=MOST)

    return Helper(directory / "egress.sock", account, duty, backlog=MOST)


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rules: Rules) -> None:
    async with asyncio.timeout(DIAL_SECONDS):
        host, port = await _request(reader, writer)
    if not host:
        return
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            far = await _dial(host, port, rules)
    except PermissionError:
        await _answer(writer, REFUSED)
        return
    except (OSError, TimeoutError):
        await _answer(writer, UNREACHABLE)
        return
    await _answer(writer, OK)
    there = asyncio.create_task(_pump(reader, far[1]))
    back = asyncio.create_task(_pump(far[0], writer))
    try:
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        far[1].close()


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
    """The address somebody wants to reach; an empty host when the request was refused already."""
    version, methods = await reader.readexactly(2)
    offered = await reader.readexactly(methods)
    if version != 5 or 0 not in offered:
        raise ValueError("not SOCKS 5")
    writer.write(b"\x05\x00")
    version, command, _, kind = await reader.readexactly(4)
    if kind == 1:
        host = socket.inet_ntop(socket.AF_INET, await reader.readexactly(4))
    elif kind == 4:
        host = socket.inet_ntop(socket.AF_INET6, await reader.readexactly(16))
    elif kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    else:
        await _answer(writer, UNKNOWN_ADDRESS)
        return "", 0
    port = int.from_bytes(await reader.readexactly(2), "big")
    if version != 5 or command != 1:
        await _answer(writer, UNKNOWN_COMMAND)
        return "", 0
    return host.lower().rstrip("."), port


async def _dial(host: str, port: int, rules: Rules) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Raises PermissionError for what this clone may not call, OSError for what does not answer."""
    if rules.is_itself(host, port):
        return await asyncio.open_unix_connection(rules.own_socket)
    if not rules.permits(host, port):
        raise PermissionError(host)
    if is_localhost(host):
        addresses = ["127.0.0.1"]
    else:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if any(rules.refuses(address, port) for address in addresses):
        raise PermissionError(host)
    for address in addresses[:4]:
        with suppress(OSError):
            return await asyncio.open_connection(address, port)
    raise OSError(f"{host} does not answer")


async def _answer(writer: asyncio.StreamWriter, code: int) -> None:
    writer.write(bytes((5, code, 0, 1, 0, 0, 0, 0, 0, 0)))
    await writer.drain()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(SILENT_SECONDS):
            data = await reader.read(65536)
        if not data:
            if writer.can_write_eof():
                writer.write_eof()
            return
        writer.write(data)
        await writer.drain()
