"""MariaDB for the clones: no network, one unix socket, one account of ours that may create databases and users."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pymysql.connections

from siteferry.embedded.servers.base import (
    Server,
    ServerError,
    find_binary,
    make_directory,
    require_traversable,
    running_as_root,
    secret_file,
    write_file,
)
from siteferry.embedded.servers.sockets import prepare_socket_directory, socket_path

HINT = "apt-get install mariadb-server"

CONFIG = """\
[mariadbd]
datadir = {data}
tmpdir = {tmp}
socket = {socket}
pid_file = {data}/mariadbd.pid
init_file = {init_file}
{network}
skip_name_resolve
skip_log_bin
skip_symbolic_links
event_scheduler = DISABLED
secure_file_priv = {tmp}
character_set_server = utf8mb4
collation_server = utf8mb4_unicode_520_ci
local_infile = ON
max_allowed_packet = 256M
max_connections = 300
table_open_cache = 2000
table_open_cache_instances = 1
table_definition_cache = 4000
innodb_buffer_pool_size = {buffer_pool}
innodb_log_file_size = {log_size}
innodb_file_per_table = ON
innodb_flush_log_at_trx_commit = 2
key_buffer_size = 16M
aria_pagecache_buffer_size = 32M
performance_schema = OFF
feedback = OFF
"""

# Read by the server at every start, before it accepts anyone. The accounts that answer to system users go: without root
# the sites' PHP runs under the same system user as we do.
INIT = """\
CREATE USER IF NOT EXISTS '{user}'@'localhost' IDENTIFIED BY '{password}';
ALTER USER '{user}'@'localhost' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'localhost' WITH GRANT OPTION;
{drops}{more}"""


class MariaDB(Server):
    """Reachable through `socket` alone; `admin_user` with `admin_password` (kept in a 0600 file) may do everything."""

    name: ClassVar[str] = "mariadb"
    ready_timeout: ClassVar[float] = 60.0  # crash recovery after a power cut takes its time
    stop_timeout: ClassVar[float] = 30.0
    admin_user: ClassVar[str] = "siteferry"

    def __init__(
        self,
        directory: Path,
        *,
        buffer_pool: str = "256M",
        log_size: str = "128M",
        admin_password_file: Path | None = None,
        listening: Path | None = None,
        network: str = "skip_networking",
        first: Sequence[str] = (),
    ) -> None:
        """`admin_password_file`: made here when absent; unless said, in the directory. `listening`: its socket, where
        that is not in the directory either. `network`: its lines about the network. `first`: statements of every start.
        """
        super().__init__(directory)
        self.admin_password_file = admin_password_file or self.directory / "admin.password"
        self.buffer_pool, self.log_size = buffer_pool, log_size
        self.socket = listening or socket_path(self.directory / "run", "mariadb.sock")
        self._network, self._first = network, first

    @property
    def account(self) -> str | None:
        return "mysql" if running_as_root() else None

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def config_file(self) -> Path:
        return self.directory / "my.cnf"

    @property
    def admin_password(self) -> str:
        return secret_file(self.admin_password_file)

    def prepare(self) -> None:
        super().prepare()
        require_traversable(self.directory, self.account)
        tmp = make_directory(self.directory / "tmp", mode=0o700, owner=self.account)
        prepare_socket_directory(self.socket, owner=self.account)
        init_file = self.directory / "init.sql"
        write_file(init_file, self._init_sql(), mode=0o600, owner=self.account)
        config = CONFIG.format(
            data=self.data,
            tmp=tmp,
            socket=self.socket,
            init_file=init_file,
            network=self._network,
            buffer_pool=self.buffer_pool,
            log_size=self.log_size,
        )
        write_file(self.config_file, config)
        if not (self.data / "mysql").is_dir():
            self._install()

    def _init_sql(self) -> str:
        system_users = sorted({"root", "mysql", pwd.getpwuid(os.geteuid()).pw_name} - {self.admin_user})
        drops = "".join(f"DROP USER IF EXISTS '{name}'@'localhost';\n" for name in system_users)
        more = "".join(f"{statement};\n" for statement in self._first)
        return INIT.format(user=self.admin_user, password=self.admin_password, drops=drops, more=more)

    def _install(self) -> None:
        """Make the system tables beside the final place: a killed installation never looks like a finished one."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        make_directory(fresh, mode=0o700, owner=self.account)
        account = self.account or pwd.getpwuid(os.geteuid()).pw_name
        command = [find_binary("mariadb-install-db", hint=HINT), "--no-defaults", f"--datadir={fresh}"]
        # The installer's temporary tables have fixed names: in /tmp two installations at once delete each other's.
        command += [f"--tmpdir={fresh}"]
        command += [
            "--skip-test-db",
            "--skip-name-resolve",
            f"--auth-root-socket-user={account}",
            "--innodb-log-file-size=8M",
        ]
        command += [f"--user={account}"] if running_as_root() else []
        # Rights tied to this machine's host name: a server that resolves no names would warn of them at every start.
        write_file(self.directory / "install.sql", "DELETE FROM mysql.proxies_priv;\n")
        command += [f"--extra-file={self.directory / 'install.sql'}"]
        done = subprocess.run(command, capture_output=True, text=True, env=self.env(), stdin=subprocess.DEVNULL)
        if done.returncode:
            raise ServerError(f"mariadb-install-db failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        fresh.replace(self.data)

    def argv(self) -> list[str]:
        return [find_binary("mariadbd", "mysqld", hint=HINT), f"--defaults-file={self.config_file}"]

    def is_ready(self) -> bool:
        # A socket of our own: PyMySQL leaves its open when nobody listens yet.
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(2)
            try:
                stream.connect(str(self.socket))
                session = pymysql.connections.Connection(
                    user=self.admin_user,
                    password=self.admin_password,
                    ssl_disabled=True,  # else PyMySQL reads the system's certificates, 70 ms each time
                    defer_connect=True,
                )
                session.connect(stream)
                session.close()
            except (OSError, pymysql.err.MySQLError):
                return False
        return True
