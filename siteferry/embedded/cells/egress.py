"""The one way out of a cell: a SOCKS 5 proxy (RFC 1928) on a socket in it, for the hosts its owner allowed.

The socket is held here; a process that serves it is forked when somebody in the cell connects, gives up every right,
and ends when nobody has asked for a while. It knows one clone only. The clone's own address leads to its own web
server, past the edge, which would answer for everybody else's.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import json
import logging
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from shared.engine.carriers import landlock, seccomp
from shared.engine.carriers.confine import runtime
from shared.own import is_this_machine
from shared.wordpress.addresses import embedded_ipv4, is_localhost, refusal
from siteferry.embedded.cells.sandbox import Account
from siteferry.embedded.cells.settings import CellSettings
from siteferry.embedded.cells.spawn import Process

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
SILENT_SECONDS = 120.0
"""A connection nothing passes through for so long is closed."""
DIAL_SECONDS = 15.0
MOST = 16
"""Connections of one clone at the same time."""
MAX_FACTS = 64 * 1024
PORTS = frozenset({80, 443})
"""Ports of an allowed host that was given without one: it is HTTP that was allowed, not mail."""
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
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
    path = Path(settings.clones) / clone_id / "guard" / "cell.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads(path.read_bytes()[:MAX_FACTS])
        allowed = [str(host).lower().rstrip(".") for host in facts["allow_http"]]
    return Rules(
        own_host=f"{clone_id}.localhost",
        own_socket=str(settings.web_socket(clone_id)),
        allowed=frozenset(allowed),
        allow_private=settings.allow_private,
        refused_ports=frozenset({settings.edge_port, *settings.refused_ports}),
    )


class Egress:
    """Holds one clone's socket and the process that serves it while it is needed."""

    def __init__(self, settings: CellSettings, clone_id: str, account: Account, directory: Path) -> None:
        self._settings, self._clone_id, self._account = settings, clone_id, account
        path = directory / "egress.sock"
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        os.chmod(path, 0o600)
        if os.geteuid() == 0:
            os.chown(path, account.uid, account.gid)
        self._socket.listen(MOST)
        self._socket.setblocking(False)
        self._process: Process | None = None
        self._gone = asyncio.Event()
        self._closed = False
        self._watch()

    async def close(self) -> None:
        """End the process and give the socket up."""
        self._closed = True
        asyncio.get_running_loop().remove_reader(self._socket)
        if self._process:
            self._process.kill()
            await self._gone.wait()
        self._socket.close()

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._asked)

    def _asked(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        rules = rules_of(self._settings, self._clone_id)
        pid = os.fork()
        if pid == 0:
            _serve_in_child(self._socket, rules, self._account)
        with suppress(OSError):
            os.setpgid(pid, pid)
        self._process = Process(pid, self._ended)

    def _ended(self, _code: int) -> None:
        self._process = None
        self._gone.set()
        if not self._closed:
            self._gone = asyncio.Event()
            self._watch()


def _serve_in_child(listener: socket.socket, rules: Rules, account: Account) -> None:
    """Never returns."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        asyncio.events._set_running_loop(None)
        keep = listener.fileno()
        os.closerange(3, keep)
        os.closerange(keep + 1, 65536)
        _give_up_rights(account)
        asyncio.run(_serve(listener, rules))
        code = 0
    except BaseException as error:
        print(f"the way out of {rules.own_host} ended: {error!r}", file=sys.stderr, flush=True)  # noqa: T201
    finally:
        os._exit(code)


def _give_up_rights(account: Account) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    libraries = landlock.prepare(readable=runtime(), writable=())
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() == 1 and os.getpid() != 1:
        raise OSError("the launcher has ended")
    landlock.enforce(libraries)
    seccomp.restrict()


async def _serve(listener: socket.socket, rules: Rules) -> None:
    open_now = 0
    changed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        changed.set()
        try:
            if open_now <= MOST:
                await _connection(reader, writer, rules)
        except (OSError, EOFError, ValueError, TimeoutError):
            pass  # whoever asked is gone or does not speak the protocol
        finally:
            open_now -= 1
            changed.set()
            writer.close()

    server = await asyncio.start_unix_server(serve, sock=listener, limit=65536)
    while True:
        changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), IDLE_SECONDS)
            continue
        if not open_now:
            server.close()
            return


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
