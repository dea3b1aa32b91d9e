"""Clones on this machine. Everything of a clone is below `<clones>/<clone id>/`, but for its database and user."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymysql.connections import Connection

from services.cloner.drivers.host.accounts import accounts_of, owner_of
from services.cloner.drivers.host.config import cell_facts, constants, guard_config, php, wp_config
from services.cloner.drivers.host.login_link import LONGEST_LOGIN, make_link
from services.cloner.drivers.host.mailbox import read_mails
from services.cloner.drivers.host.mariadb import CloneDatabases, new_password
from services.cloner.drivers.port import Capacity, CloneSilent, LoginLink, MailMessage, SiteConfig, UserNotFound
from services.cloner.errors import FinalizeFailed, PathRefused
from shared.cells.client import AgentFailed, CellsClient
from shared.cells.names import DATABASES, database_name
from shared.cells.source import cell_source
from shared.engine.room import NoRoom, Places
from shared.ids import is_job_id
from shared.wordpress.transfer.ddl import Dialect
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.files import Owner

GUARD_FILES = ("guard.php", "login.php", "prepend.php", "sendmail.sh")
WRITABLE = ("site", "tmp", "log", "mail", "cache", "quarantine", "records")
PHP_SECONDS = 120
MAIL_SECONDS = 30
USER_SECONDS = 25
MAX_MAILS = 500
MAIL_BYTES = 850_000
DOOMED = ".deleting-"
"""Before the name of a directory that is being removed."""


@dataclass
class HostTarget:
    """One clone's directory and database."""

    clone_id: str
    url: str
    directory: Path
    databases: CloneDatabases
    cells: CellsClient
    wordpress_path: str = ""
    password: str = ""
    """Of the clone's database, where the file that holds it can not be read."""

    @property
    def owner(self) -> Owner | None:
        """The account of this clone alone: whoever its document root belongs to. None when we are not root."""
        return owner_of(self.directory)

    @property
    def document_root(self) -> Path:
        """Where the site's files go."""
        return self.directory / "site"

    @property
    def quarantine(self) -> Path:
        """Where files go that must not load on a clone."""
        return self.directory / "quarantine"

    @property
    def records(self) -> Path:
        """Where notes about the copy are kept while it is made."""
        return self.directory / "records"

    @property
    def log(self) -> Path:
        """Where the clone's PHP writes what goes wrong."""
        return self.directory / "log"

    @property
    def database(self) -> str:
        """Name of the clone's database and of its user."""
        return database_name(self.clone_id)

    def carried(self) -> HostTarget:
        """The same for a process that may open nothing but the folders of the clone."""
        return replace(self, password=self._password())

    def connect(self) -> Connection[Any]:
        """A connection to the clone's database with the clone's rights."""
        return self.databases.connect(self.database, self._password())

    def write_config(self, config: SiteConfig) -> None:
        """Write the guard and wp-config.php, which the site's PHP may read but not change, and have it served."""
        wordpress = checked_path(config.wordpress_path)
        if config.content_path is not None:
            checked_path(config.content_path)
        guard = self.directory / "guard"
        with target_errors("writing the clone's configuration"):
            self._write_guard()
            host = urlsplit(self.url).hostname or ""
            self._write(guard / "config.php", guard_config(config, host=host))
            self._write(guard / "cell.json", cell_facts(config))
            text = constants(
                config,
                database=self.database,
                user=self.database,
                password=self._password(),
                socket=self.databases.socket,
                clone_dir=self.directory,
            )
            self._write(guard / "constants.php", text)
            self._write(self.directory / "wp-config.php", wp_config(config, clone_dir=self.directory))
        self.wordpress_path = wordpress
        self.cells.ensure(self.clone_id)
        if wordpress:
            stub = (self.document_root / wordpress).parent / "wp-config.php"
            places = {"stub": str(stub), "config": str(self.directory / "wp-config.php")}
            self._agent("place", places, seconds=PHP_SECONDS)

    def make_administrator(self, username: str, password: str, email: str, *, like: str = "") -> None:
        """Create the administrator inside the clone's cell. Raises FinalizeFailed with PHP's own words."""
        wanted = {
            "wordpress": str(self.document_root / self.wordpress_path),
            "host": urlsplit(self.url).netloc,
            "username": username,
            "password": password,
            "email": email,
            "like": like,
        }
        answer = self._agent("administrator", wanted, seconds=PHP_SECONDS)
        if not isinstance(answer.get("user_id"), int):
            raise FinalizeFailed("WordPress could not make the clone's administrator: it did not say which user it is")

    def login_link(self, user: str) -> LoginLink:
        """A link for one of the clone's users. A clone made by an older version gets the guard that knows links.

        Raises UserNotFound, CloneSilent, CellsAway, OSError.
        """
        wanted = {
            "config": str(self.directory / "wp-config.php"),
            "host": urlsplit(self.url).netloc,
            "user": user,
        }
        try:
            answer = self.cells.agent(self.clone_id, "user", wanted, seconds=USER_SECONDS)
        except AgentFailed as error:
            raise CloneSilent(str(error).replace(self._password(), "…")[-500:]) from error
        user_id, login = answer.get("user_id"), answer.get("login")
        if not isinstance(user_id, int) or user_id <= 0 or not isinstance(login, str):
            raise UserNotFound
        with target_errors("writing the clone's guard"):
            self._write_guard()
        return make_link(self._login_key(), user_id=user_id, login=login[:LONGEST_LOGIN])

    def _write_guard(self) -> None:
        for name in GUARD_FILES:
            path, text = self.directory / "guard" / name, (cell_source() / "guard" / name).read_text()
            if not path.exists() or path.read_text() != text:
                self._write(path, text)
        if not self._login_key_file.exists():
            self._write(self._login_key_file, f"<?php return {php(new_password())};\n")

    @property
    def _login_key_file(self) -> Path:
        return self.directory / "guard" / "login-key.php"

    def _login_key(self) -> str:
        return self._login_key_file.read_text().split("'")[1]

    def _agent(self, call: str, values: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        try:
            return self.cells.agent(self.clone_id, call, values, seconds=seconds)
        except AgentFailed as error:
            words = str(error)
            for secret in filter(None, (values.get("password"), self._password())):
                words = words.replace(secret, "…")
            raise FinalizeFailed(f"WordPress could not make the clone's administrator: {words[-500:]}") from error

    def _password(self) -> str:
        if self.password:
            return self.password
        path = self.directory / ".database-password"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text()
        with os.fdopen(descriptor, "w") as file:
            password = new_password()
            file.write(password)
        return password

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.write_text(text)
        owner = self.owner
        temporary.chmod(0o640 if owner else 0o400)
        if owner:
            os.chown(temporary, 0, owner.gid)
        temporary.replace(path)

    def make_place(self, most: int | None = None) -> None:
        """Directories, database, user. Raises NoRoom when it would be one of more than `most`."""
        clones = self.directory.parent
        with target_errors("making the clone's directory"):
            clones.mkdir(mode=0o711, parents=True, exist_ok=True)
            with accounts_of(clones) as free:
                if most is not None and not self.directory.exists() and len(directories(clones)) >= most:
                    raise NoRoom
                self.directory.mkdir(mode=0o711, exist_ok=True)
                owner = self.owner or free()
                for name in WRITABLE:
                    path = self.directory / name
                    path.mkdir(mode=0o700, exist_ok=True)
                    if owner:
                        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
            (self.directory / "guard").mkdir(mode=0o755, exist_ok=True)
        self.databases.ensure(self.database, self._password())


@dataclass(frozen=True)
class HostDriver:
    """Provisioner of the embedded default."""

    clones: Path
    databases: CloneDatabases
    edge_url: str
    cells: CellsClient
    most: int | None = None
    """Clones that may exist at the same time."""

    def place(self, clone_id: str) -> HostTarget:
        """Where the clone is or would be. Raises ValueError for what is no clone id."""
        if not is_job_id(clone_id):
            raise ValueError(f"not a clone id: {clone_id}")
        edge = urlsplit(self.edge_url)
        port = f":{edge.port}" if edge.port else ""
        return HostTarget(
            clone_id=clone_id,
            url=f"{edge.scheme}://{clone_id}.localhost{port}",
            directory=self.clones / clone_id,
            databases=self.databases,
            cells=self.cells,
        )

    def ensure(self, clone_id: str) -> None:
        """Make directory, database and user, or find them made. Raises NoRoom when as many clones exist as may."""
        self.place(clone_id).make_place(self.most)

    def dialect(self) -> Dialect:
        """What this MariaDB knows."""
        return self.databases.dialect()

    def php_version(self) -> str:
        """What PHP on the command line says of itself: PHP-FPM is of the same package."""
        return _php_version()

    def destroy(self, clone_id: str) -> None:
        """End what runs of it, then remove directory, database and user. The host name is gone at once."""
        target = self.place(clone_id)
        self.cells.forget(clone_id)
        doomed = self.clones / f"{DOOMED}{clone_id}"
        if target.directory.exists():
            remove_tree(doomed)
            target.directory.rename(doomed)
        self.databases.drop(target.database)
        remove_tree(doomed)

    def ids(self) -> list[str]:
        """Clones of which a directory, a database or a user exists."""
        ids = {name.removeprefix(DOOMED) for name in directories(self.clones)}
        ids |= {f"clone-{name.removeprefix(DATABASES)}" for name in self.databases.names()}
        return sorted(filter(is_job_id, ids))

    def capacity(self) -> Capacity:
        """Free bytes where the clones are."""
        return Capacity(free_bytes=shutil.disk_usage(self.clones).free)

    def places(self) -> Places | None:
        """Clones of which a directory exists, against how many may."""
        if self.most is None:
            return None
        return Places(self.most, frozenset(name.removeprefix(DOOMED) for name in directories(self.clones)))

    def mails(self, clone_id: str) -> list[MailMessage]:
        """Captured mail, newest first."""
        target = self.place(clone_id)
        if not (target.directory / "wp-config.php").exists():
            return []
        wanted = {"box": str(target.directory / "mail"), "messages": MAX_MAILS, "bytes": MAIL_BYTES}
        try:
            answer = self.cells.agent(clone_id, "mail", wanted, seconds=MAIL_SECONDS)
        except AgentFailed as error:
            raise OSError(f"the mail box can not be read: {error}") from error
        return read_mails(answer)

    def login_link(self, clone_id: str, user: str) -> LoginLink:
        """A link that signs in once. Raises FileNotFoundError when there is no such clone."""
        target = self.place(clone_id)
        if not (target.directory / "wp-config.php").exists():
            raise FileNotFoundError(f"{clone_id} is not on this machine")
        return target.login_link(user)


def directories(clones: Path) -> set[str]:
    """Names of the directories of clones, those on their way out included (`.deleting-…`)."""
    try:
        names = {path.name for path in clones.iterdir()}
    except FileNotFoundError:
        return set()
    return {name for name in names if is_job_id(name.removeprefix(DOOMED))}


def checked_path(path: str) -> str:
    """A path below the document root, as it is. Raises PathRefused for one that leads anywhere else."""
    if path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise PathRefused(f"The source says its WordPress lies in {path!r}, which is no folder of its document root.")
    return path


@cache
def _php_version() -> str:
    try:
        done = subprocess.run(
            ["php", "-n", "-r", "echo PHP_VERSION;"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if re.fullmatch(r"\d+\.\d+\.\d+\S{0,40}", done.stdout.strip()) else ""


def remove_tree(path: Path) -> None:
    """Remove a directory that strangers filled, if it is there: `shutil.rmtree` recurses, and gives up below a thousand
    folders. Raises OSError with what could not be removed."""
    done = subprocess.run(["/bin/rm", "-rf", "--one-file-system", "--", path], capture_output=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip()[-500:])
