"""`siteferry up`: the whole product on this machine, from one command."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nats.errors import Error as NatsError
from pydantic import ValidationError

from shared.contract.api_keys import ApiKey
from shared.contract.rights import KEEPER, OPERATOR
from shared.lifecycle import ended
from shared.secrets.settings import KeySettings
from shared.secrets.vault import KeyRing
from shared.settings import Settings
from shared.standing import FILE, Standing, serialised
from siteferry.embedded.cells.options import CellOptions
from siteferry.embedded.first_key import FILE as FIRST_KEY
from siteferry.embedded.first_key import dashboard_link, first_key_at_last
from siteferry.embedded.instance import RUN, AlreadyRunning, Instance, clear_leftovers, exclusive
from siteferry.embedded.keeper import keep
from siteferry.embedded.logs import MergedLog
from siteferry.embedded.servers import Caddy, Cells, MariaDB, Nats, Server, ServerError, edge_config, free_port
from siteferry.embedded.servers.base import checked_directory, make_directory, write_file
from siteferry.embedded.servers.ports import require_free_port
from siteferry.embedded.services import Service, installed
from siteferry.embedded.supervisor import Backoff, Supervisor, stop_by_signals
from siteferry.environment import default_state_dir
from siteferry.variables import Edge, NatsStore

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_ALREADY_RUNNING = 3
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SERVICES = ("gateway", "cloner", "restorer", "status")
KEY_WITHIN = 5.0
"""Seconds people who wait for everything to run wait for the first key besides, at most."""
WORKERS = ("cloner", "restorer")
"""Services that speak HTTP only for /livez, /readyz and /metrics."""


@dataclass(frozen=True)
class Options:
    """What can be chosen on the command line of `siteferry up`."""

    host: str = "127.0.0.1"
    """Address Caddy listens on. Anything but loopback is for people who know who can reach it."""
    port: int = 8080
    """Port of the one origin; 0: a free one."""
    buffer_pool: str = "256M"
    quiet: bool = False
    """Print nothing but the banner and our own lines; the log file has everything in any case."""
    settings: Mapping[str, str] | None = None
    """Further settings for all services, without the prefix SITEFERRY_."""


async def up(state: Path, options: Options = Options()) -> int:
    """Start everything, keep it running until Ctrl-C or SIGTERM, stop it in order. Run it in the main thread.

    Returns the exit code: 0 stopped as asked, 1 could not start (said on stderr), 3 another `up` runs with this state
    directory (said on stderr, with its pid and URL).
    """
    try:
        state = checked_directory(state)
        make_directory(state, mode=0o711)
        with exclusive(state):
            await _run(state, options)
    except AlreadyRunning as running:
        _complain(str(running))
        return EXIT_ALREADY_RUNNING
    except (ServerError, OSError) as error:
        _complain(str(error))
        return EXIT_FAILED
    return EXIT_OK


async def _run(state: Path, options: Options) -> None:
    log = MergedLog(state / "siteferry.log", sys.stderr, quiet=options.quiet)
    try:
        for name in await asyncio.to_thread(clear_leftovers, state):
            log.say(f"{name} of an earlier run was still there: ended")
        house = House(state, options)
        supervisor = Supervisor(house.stages(), log, backoff=Backoff(), stops=[WORKERS, (house.caddy.name,)])

        def changed() -> None:
            house.write_run_file(supervisor.pids)
            house.write_parts(supervisor.standings)

        supervisor.on_change = changed
        async with stop_by_signals(supervisor):
            keeping = asyncio.create_task(house.look_after_nats(log))
            ready = asyncio.Event()
            welcoming = asyncio.create_task(house.welcome(ready, log))
            try:
                await supervisor.run(ready.set)
            finally:
                await ended(welcoming)
                await ended(keeping)  # NATS is gone: what closes its connection may turn one cancel into an error
                for file in (RUN, FILE):
                    (state / file).unlink(missing_ok=True)
        log.say("stopped; `siteferry up` continues where this ended")
    finally:
        log.close()


class House:
    """All parts of one machine's Siteferry, and what each must know of the others."""

    def __init__(self, state: Path, options: Options) -> None:
        """Raises `ServerError` when the port is taken, or when strangers could do everything."""
        self.state, self.options = state, options
        self.first_key = state / FIRST_KEY
        self._told = _told(options.settings or {})
        self.keys_needed = self._keys_needed()
        self.port = options.port or free_port(options.host)
        try:
            require_free_port(self.port, options.host)
        except ServerError as error:
            raise ServerError(f"{error}; choose another: siteferry up --port PORT") from None
        self.ports = {"gateway": free_port(), "status": free_port()}
        self.health_ports = {name: _health_port(name) for name in WORKERS}
        self.clones = make_directory(state / "clones", mode=0o711)
        self.nats = Nats(state / "nats", max_store=_store_size())
        self.mariadb = MariaDB(state / "mariadb", buffer_pool=options.buffer_pool)
        self.nats.prepare()  # chooses its port, which the services' settings name
        self.cells = self._cells(CellOptions())
        self.caddy = Caddy(state / "caddy", self._edge, port=self.port, host=options.host, own_account=True)
        KeyRing.load(state / "vault.key")  # made once, before four services look for it
        folder = make_directory(state / "services")
        self.services = [
            Service(
                name, folder, self.settings(name), port=self.ports.get(name), health_port=self.health_ports.get(name)
            )
            for name in SERVICES
            if installed(name)
        ]

    def _keys_needed(self) -> bool:
        """Without API keys whoever reaches the origin may do everything, so only this machine may reach it."""
        needed = self._told.keys_needed or (self.beyond and self._told.require_keys is None)
        if self.beyond and not needed:
            raise ServerError(
                f"without API keys everybody who reaches {self.options.host} could do everything; leave out "
                "SITEFERRY_REQUIRE_KEYS, or --host"
            )
        return needed

    @property
    def own_keys(self) -> bool:
        """Whether there is a file of keys."""
        return self._told.api_keys_file is not None

    @property
    def beyond(self) -> bool:
        """Whether others than this machine may reach the origin."""
        return self.options.host not in LOOPBACK

    def stages(self) -> list[list[Server]]:
        """What starts together; each stage needs the ones before it."""
        return [[self.nats, self.mariadb, self.cells], [*self.services], [self.caddy]]

    def settings(self, service: str) -> dict[str, str]:
        """Settings of one service, by field name. Secrets travel as paths of 0600 files."""
        return {
            "nats_url": self.nats.url,
            "nats_token_file": str(self.nats.login_file(service)),
            "nats_install": "false",
            "vault_key_file": str(self.state / "vault.key"),
            "require_keys": str(self.keys_needed).lower(),
            "state_dir": str(self.state),
            "parts_file": str(self.state / FILE),
            "own_ports": ",".join(map(str, self.own_ports)),
            "clones_dir": str(self.clones),
            "mariadb_socket": str(self.mariadb.socket),
            "mariadb_admin_user": self.mariadb.admin_user,
            "mariadb_admin_password_file": str(self.mariadb.admin_password_file),
            "cells_socket": str(self.cells.control),
            "edge_url": self.url,
            "gateway_host": "127.0.0.1",
            "gateway_port": str(self.ports["gateway"]),
            "status_host": "127.0.0.1",
            "status_port": str(self.ports["status"]),
            **{f"{name}_health_port": str(port) for name, port in self.health_ports.items()},
        } | dict(self.options.settings or {})

    @property
    def url(self) -> str:
        """Clones are named `<id>.localhost`, so people come by `localhost` whatever address we listen on."""
        return f"http://localhost:{self.port}"

    def _cells(self, options: CellOptions) -> Cells:
        return Cells(
            self.state / "cells",
            self.clones,
            required=options.required(loopback=not self.beyond),
            mariadb_socket=str(self.mariadb.socket),
            mariadb_data=str(self.mariadb.data),
            edge_port=self.port,
            refused_ports=self.own_ports,
            allow_private=self._told.allow_private_sources,
            **options.values(),
        )

    @property
    def own_ports(self) -> list[int]:
        """Ports on loopback at which only parts of ours have business."""
        return [port for port in (*self.ports.values(), *self.health_ports.values(), self.nats.port) if port]

    def _edge(self, caddy: Caddy) -> dict[str, object]:
        return edge_config(
            port=caddy.port,
            listen=[caddy.host],
            hosts=None if self.keys_needed else (),
            cells=self.cells.http,
            gateway=f"127.0.0.1:{self.ports['gateway']}",
            status=f"127.0.0.1:{self.ports['status']}",
            admin_socket=caddy.admin_socket,
            storage=caddy.storage,
            origins=Edge.model_validate(self.options.settings or {}).origins,
        )

    def write_run_file(self, pids: dict[str, int]) -> None:
        """Tell the command line where everything is."""
        Instance(
            pid=os.getpid(),
            edge_url=self.url,
            nats_url=self.nats.url,
            nats_token_file=str(self.nats.token_file),
            nats_operator_file=str(self.nats.login_file(OPERATOR)),
            nats_max_store=self.nats.max_store,
            mariadb_socket=str(self.mariadb.socket),
            first_key_file=str(self.first_key),
            keys_needed=self.keys_needed,
            pids=pids,
            services={
                name: f"http://127.0.0.1:{port}" for name, port in (self.ports | self.health_ports).items() if port
            },
        ).write(self.state)

    def write_parts(self, standings: dict[str, Standing]) -> None:
        """Tell the services how everything stands."""
        write_file(self.state / FILE, serialised(standings))

    async def look_after_nats(self, log: MergedLog) -> None:
        """Make streams and buckets, and make them again when one is gone: no service may."""
        settings = self._keeper()
        ack_wait = float(self.settings(KEEPER).get("ack_wait", settings.ack_wait))
        await keep(settings, ack_wait=ack_wait, limit=self.nats.max_store, say=log.say)

    async def welcome(self, ready: asyncio.Event, log: MergedLog) -> None:
        """Make the first key where there has never been one; once everything runs, say so, and who gets in how."""
        making = asyncio.create_task(self._first_key(log), name="first key")
        try:
            await ready.wait()
            await asyncio.wait({making}, timeout=KEY_WITHIN)
            log.say(f"Siteferry is ready at {self.url} (state in {self.state}; Ctrl-C stops)")
            nobody_else = "without an API key only this machine gets in"
            log.say("every call needs an API key" if self.keys_needed else nobody_else)
            if key := await making:
                await self._tell_of(key, log)
        finally:
            await ended(making)

    async def _tell_of(self, key: ApiKey, log: MergedLog) -> None:
        command = "siteferry" if self.state == default_state_dir() else f"siteferry --state {self.state}"
        log.say(
            f"the first API key is in {self.first_key}; `{command} keys link` opens the dashboard signed in with it"
        )
        if log.on_terminal:
            with suppress(NatsError, OSError, TimeoutError):  # NATS is away just now, or full
                link = await dashboard_link(self._keeper(), key, self.url)
                log.show(f"the dashboard, signed in (once, within a quarter of an hour): {link}")

    async def _first_key(self, log: MergedLog) -> ApiKey | None:
        """None where keys come from a file, too: whoever keeps that keeps the keys."""
        if self.own_keys:
            return None
        while not await asyncio.to_thread(self.nats.is_ready):  # noqa: ASYNC110 - another process tells of no event
            await asyncio.sleep(0.1)
        return await first_key_at_last(self._keeper(), self.first_key, log.say)

    def _keeper(self) -> Settings:
        return Settings(nats_url=self.nats.url, nats_token_file=self.nats.token_file)


def _health_port(name: str) -> int:
    """Where a worker tells its numbers: as the operator's environment says, else a free port."""
    wanted = os.environ.get(f"SITEFERRY_{name.upper()}_HEALTH_PORT", "")
    return int(wanted) if wanted.isdecimal() else free_port()


def _told(settings: Mapping[str, str]) -> KeySettings:
    """Settings as the services read them, these over the environment's; an empty one says nothing. Raises ServerError
    for one that can not be read."""
    try:
        return KeySettings(_env_ignore_empty=True, **settings)  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise ServerError(f"SITEFERRY_{str(wrong['loc'][0]).upper()} can not be used: {wrong['msg']}") from None


def _store_size() -> int:
    """Gigabytes the store of NATS may have; the audit log's part of it is set aside, so it must leave room for jobs.

    Raises ServerError when it does not, and when what is wanted is no such number."""
    try:
        size = NatsStore().nats_store_gb
    except ValidationError:
        wanted = os.environ.get("SITEFERRY_NATS_STORE_GB")
        raise ServerError(f"SITEFERRY_NATS_STORE_GB must be a whole number of gigabytes, not {wanted!r}") from None
    audit = _told({}).audit_mb
    if audit > size * 500:
        raise ServerError(
            f"SITEFERRY_AUDIT_MB={audit} is more than half of the store of NATS; make that larger with "
            "SITEFERRY_NATS_STORE_GB"
        )
    return size


def _complain(message: str) -> None:
    sys.stderr.write(f"siteferry: {message}\n")
