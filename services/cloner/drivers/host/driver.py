"""Clones on this machine. Everything of a clone is below `<clones>/<clone id>/`, but for its database and user."""

from __future__ import annotations

import email
import email.policy
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymysql.connections import Connection

from services.cloner.drivers.host.config import guard_config, wp_config
from services.cloner.drivers.host.mariadb import PREFIX, CloneDatabases, new_password
from services.cloner.drivers.port import Capacity, MailMessage, SiteConfig
from services.cloner.errors import FinalizeFailed
from shared.ids import is_job_id
from shared.wordpress.transfer.ddl import Dialect
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.files import Owner

GUARD_SOURCE = Path(__file__).parents[2] / "guard"
GUARD_FILES = ("guard.php", "finalize.php", "sendmail.sh")
WRITABLE = ("site", "tmp", "log", "mail", "quarantine")
PHP_SECONDS = 120
MAX_MAILS = 500


@dataclass
class HostTarget:
    """One clone's directory and database."""

    clone_id: str
    url: str
    directory: Path
    owner: Owner | None
    databases: CloneDatabases
    php_cli: str
    wordpress_path: str = ""
    password: str = ""
    """Of the clone's database, where the file that holds it can not be read."""

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
    def database(self) -> str:
        """Name of the clone's database and of its user."""
        return database_name(self.clone_id)

    def carried(self) -> HostTarget:
        """The same for a process that may open nothing but the folders of the clone."""
        return replace(self, owner=None, password=self._password())

    def connect(self) -> Connection[Any]:
        """A connection to the clone's database with the clone's rights."""
        return self.databases.connect(self.database, self._password())

    def write_config(self, config: SiteConfig) -> None:
        """Write the guard and wp-config.php; the site's PHP may read but not change them."""
        with target_errors("writing the clone's configuration"):
            for name in GUARD_FILES:
                self._write(self.directory / "guard" / name, (GUARD_SOURCE / name).read_text())
            host = urlsplit(self.url).hostname or ""
            self._write(self.directory / "guard" / "config.php", guard_config(config, host=host))
            text = wp_config(
                config,
                database=self.database,
                user=self.database,
                password=self._password(),
                socket=self.databases.socket,
                clone_dir=self.directory,
            )
            self._write(self._config_path(config), text)
        self.wordpress_path = config.wordpress_path

    def make_administrator(self, username: str, password: str, email: str) -> None:
        """Create the administrator by PHP on the command line. Raises FinalizeFailed with PHP's own words."""
        host = urlsplit(self.url).netloc
        wanted = json.dumps({"username": username, "password": password, "email": email})
        argv = [self.php_cli, "-d", f"open_basedir={self.directory}/", "-d", f"sys_temp_dir={self.directory / 'tmp'}"]
        script = self.directory / "guard" / "finalize.php"
        argv += ["-d", "memory_limit=256M", str(script), str(self.document_root / self.wordpress_path), host]
        try:
            done = subprocess.run(
                argv, input=wanted, capture_output=True, text=True, timeout=PHP_SECONDS, check=False, **self._identity()
            )
        except subprocess.TimeoutExpired as error:
            raise FinalizeFailed("WordPress did not start within two minutes on the clone.") from error
        if done.returncode or '"user_id"' not in done.stdout:
            words = (done.stderr or done.stdout).strip().replace(password, "…")[-500:]
            raise FinalizeFailed(f"WordPress could not make the clone's administrator: {words or 'no output'}")

    def _identity(self) -> dict[str, Any]:
        return {} if self.owner is None else {"user": self.owner.uid, "group": self.owner.gid, "extra_groups": []}

    def _config_path(self, config: SiteConfig) -> Path:
        # One level above WordPress, where it looks next: outside of the imported files.
        return (self.document_root / config.wordpress_path).parent / "wp-config.php"

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
        temporary.chmod(0o640 if self.owner else 0o400)
        if self.owner:
            os.chown(temporary, 0, self.owner.gid)
        temporary.replace(path)

    def make_place(self) -> None:
        """Directories, database, user."""
        with target_errors("making the clone's directory"):
            self.directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            for name in (*WRITABLE, "records"):
                path = self.directory / name
                path.mkdir(mode=0o700 if name == "records" else 0o755, exist_ok=True)
                if self.owner:
                    os.chown(path, self.owner.uid, self.owner.gid)
            (self.directory / "guard").mkdir(mode=0o755, exist_ok=True)
        self.databases.ensure(self.database, self._password())


@dataclass(frozen=True)
class HostDriver:
    """Provisioner of the embedded default."""

    clones: Path
    databases: CloneDatabases
    edge_url: str
    owner: Owner | None
    php_cli: str = "php"

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
            owner=self.owner,
            databases=self.databases,
            php_cli=self.php_cli,
        )

    def ensure(self, clone_id: str) -> None:
        """Make directory, database and user, or find them made."""
        self.place(clone_id).make_place()

    def dialect(self) -> Dialect:
        """What this MariaDB knows."""
        return self.databases.dialect()

    def destroy(self, clone_id: str) -> None:
        """Remove directory, database and user. The directory is renamed first: the host name is gone at once."""
        target = self.place(clone_id)
        doomed = self.clones / f".deleting-{clone_id}"
        if target.directory.exists():
            shutil.rmtree(doomed, ignore_errors=True)
            target.directory.rename(doomed)
        self.databases.drop(target.database)
        if doomed.exists():
            shutil.rmtree(os.fsencode(doomed))

    def ids(self) -> list[str]:
        """Clones of which a directory, a database or a user exists."""
        ids = (
            {re.sub(r"^\.deleting-", "", path.name) for path in self.clones.iterdir()}
            if self.clones.exists()
            else set()
        )
        ids |= {f"clone-{name.removeprefix(PREFIX)}" for name in self.databases.names()}
        return sorted(filter(is_job_id, ids))

    def capacity(self) -> Capacity:
        """Free bytes where the clones are."""
        return Capacity(free_bytes=shutil.disk_usage(self.clones).free)

    def mails(self, clone_id: str) -> list[MailMessage]:
        """Captured mail, newest first."""
        box = self.place(clone_id).directory / "mail"
        paths = sorted(box.glob("*"), reverse=True)[:MAX_MAILS] if box.is_dir() else []
        return list(_readable(paths))


def database_name(clone_id: str) -> str:
    """`sf_` and the clone id's last part."""
    return PREFIX + clone_id.partition("-")[2]


def _readable(paths: list[Path]) -> Iterator[MailMessage]:
    for path in paths:
        try:
            yield _captured(path) if path.suffix == ".json" else _raw(path)
        except (OSError, ValueError, TypeError):
            continue  # half-written by a request that died: nothing a reader could do about it


def _captured(path: Path) -> MailMessage:
    return MailMessage(**json.loads(path.read_text()))


def _raw(path: Path) -> MailMessage:
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain", "html"))
    return MailMessage(
        id=path.stem,
        time=str(message["date"] or ""),
        to=[str(message["to"] or "")],
        subject=str(message["subject"] or ""),
        headers=[f"{name}: {value}" for name, value in message.items()],
        body=body.get_content() if body is not None else "",
        attachments=[part.get_filename() or "" for part in message.iter_attachments()],
    )
