"""Databases and WordPresses of other releases as sources, each from a bare system of its own (scripts/base-system.sh).

    with SourceFarm(database=lambda place: MySQL(place, "sid"), wordpress=wordpress_of("trixie")) as farm: ...

Root only: a server runs in its system's directory as its root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import pymysql.connections

from siteferry.embedded.servers import Server, ServerError
from siteferry.embedded.servers.base import find_binary, make_directory, secret_file, write_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "base-system.sh"
INSIDE = "/mnt"
"""Where a server's directory is in its own root."""
ENTER = (
    'mount --bind "$1" "$2/mnt" && mount --rbind /dev "$2/dev" && mount -t proc proc "$2/proc" && '
    'root="$2" account="$3" && shift 3 && exec chroot "$root" setpriv --reuid "$account" --regid "$account" '
    '--clear-groups --pdeathsig TERM -- "$@"'
)
"""In a mount namespace of its own: nothing is left mounted. $1 directory, $2 root, $3 account's number, then argv."""

ACCOUNTS = """\
CREATE USER IF NOT EXISTS '{user}'@'localhost' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'localhost' WITH GRANT OPTION;
DROP USER IF EXISTS 'root'@'localhost';
"""
COMMON = """\
datadir = {inside}/data
tmpdir = {inside}/tmp
socket = {inside}/run/database.sock
pid_file = {inside}/data/server.pid
init_file = {inside}/init.sql
skip_networking
max_allowed_packet = 256M
innodb_buffer_pool_size = 128M
performance_schema = OFF
"""


def base_system(suite: str, *packages: str) -> Path:
    """The root directory of a bare system with these packages, made on first use. Raises `ServerError`."""
    done = subprocess.run([SCRIPT, suite, *packages], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise ServerError(f"no system of {suite} could be made:\n{done.stderr[-2000:]}")
    return Path(done.stdout.strip())


def wordpress_of(suite: str) -> Path:
    """The WordPress that this release of Debian packages, links resolved."""
    system = base_system(suite, "wordpress")
    plain = system / "srv" / "wordpress"
    if not plain.is_dir():
        fresh = f"/srv/wordpress.{os.getpid()}"
        subprocess.run(["chroot", system, "cp", "-rL", "/usr/share/wordpress", fresh], check=True, capture_output=True)
        try:
            (system / fresh.lstrip("/")).rename(plain)
        except OSError:  # another worker was faster
            shutil.rmtree(system / fresh.lstrip("/"))
    return plain


class ForeignDatabase(Server):
    """A database server of another release in its own root; used as `MariaDB` is: `socket`, `admin_user`, …"""

    ready_timeout: ClassVar[float] = 120.0
    stop_timeout: ClassVar[float] = 60.0
    admin_user: ClassVar[str] = "siteferry"
    packages: ClassVar[tuple[str, ...]]
    section: ClassVar[str]
    settings: ClassVar[str]

    def __init__(self, directory: Path, suite: str) -> None:
        super().__init__(directory)
        self.system = base_system(suite, *self.packages)
        self.socket = self.directory / "run" / "database.sock"

    @property
    def admin_password(self) -> str:
        return secret_file(self.directory / "admin.password")

    def prepare(self) -> None:
        super().prepare()
        make_directory(self.directory, mode=0o711)
        for name in ("run", "tmp"):
            make_directory(self.directory / name, mode=0o711, owner="mysql")
        self.socket.unlink(missing_ok=True)
        settings = f"[{self.section}]\n" + COMMON.format(inside=INSIDE) + self.settings
        write_file(self.directory / "my.cnf", settings)
        accounts = ACCOUNTS.format(user=self.admin_user, password=self.admin_password)
        write_file(self.directory / "init.sql", accounts, mode=0o600, owner="mysql")
        if not (self.directory / "data").is_dir():
            fresh = make_directory(self.directory / "data.new", mode=0o700, owner="mysql")
            done = subprocess.run(self.within(*self.installer()), capture_output=True, text=True, env=self.env())
            if done.returncode:
                raise ServerError(f"{self.name} could not be installed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
            fresh.rename(self.directory / "data")

    @abstractmethod
    def installer(self) -> list[str]:
        """The command that makes the system tables in `data.new`."""

    @abstractmethod
    def program(self, name: str) -> list[str]:
        """The command of a client, `mariadb` or `mariadb-dump` by MariaDB's name."""

    def within(self, *argv: str) -> list[str]:
        """A command in the server's own root, as the database's account."""
        account = str(pwd.getpwnam("mysql").pw_uid)
        unshare = [find_binary("unshare"), "--mount", "--propagation", "private"]
        return [*unshare, "/bin/sh", "-c", ENTER, "enter", str(self.directory), str(self.system), account, *argv]

    def client(self, program: str) -> list[str]:
        """A client that speaks to this server, with the arguments it needs to find it."""
        return self.within(*self.program(program), f"--socket={INSIDE}/run/database.sock")

    def is_ready(self) -> bool:
        # A socket of our own: PyMySQL leaves its open when nobody listens yet.
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(2)
            try:
                stream.connect(str(self.socket))
                session = pymysql.connections.Connection(
                    user=self.admin_user, password=self.admin_password, defer_connect=True, unix_socket=str(self.socket)
                )
                session.connect(stream)
                session.close()
            except (OSError, pymysql.err.MySQLError):
                return False
        return True


class MySQL(ForeignDatabase):
    """MySQL 9, as Debian's unstable release packages it."""

    name = "mysql"
    packages = ("mysql-server-core", "mysql-client-core")
    section = "mysqld"
    settings = "mysqlx = OFF\ndisable_log_bin\nsecure_file_priv = NULL\n"

    def installer(self) -> list[str]:
        return ["mysqld", "--no-defaults", "--initialize-insecure", f"--datadir={INSIDE}/data.new"]

    def program(self, name: str) -> list[str]:
        if name == "mariadb-dump":
            return ["mysqldump", "--no-defaults", "--set-gtid-purged=OFF", "--no-tablespaces", "--column-statistics=0"]
        return ["mysql", "--no-defaults"]

    def argv(self) -> list[str]:
        return self.within("mysqld", f"--defaults-file={INSIDE}/my.cnf")


class ForeignMariaDB(ForeignDatabase):
    """MariaDB as another release of Debian packages it, with the settings it comes with."""

    name = "mariadb"
    packages = ("mariadb-server-core", "mariadb-client")
    section = "mariadbd"
    settings = "skip_log_bin\n"

    def installer(self) -> list[str]:
        return [
            "mariadb-install-db", "--no-defaults", f"--datadir={INSIDE}/data.new", f"--tmpdir={INSIDE}/tmp",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve", "--force",
        ]  # fmt: skip

    def program(self, name: str) -> list[str]:
        return [name, "--no-defaults"]

    def argv(self) -> list[str]:
        return self.within("mariadbd", f"--defaults-file={INSIDE}/my.cnf")
