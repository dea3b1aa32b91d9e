"""Clones on this machine. Everything of a clone is below `<clones>/<clone id>/`, but for its database and user."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pymysql.connections import Connection

from services.cloner.drivers.cell import CONFIG, LOGIN_KEY, CellTarget, login_key_file, php_version
from services.cloner.drivers.host.accounts import accounts_of, owner_of
from services.cloner.drivers.host.images import HostImages
from services.cloner.drivers.host.mariadb import CloneDatabases, new_password
from services.cloner.drivers.host.removal import remove_tree
from services.cloner.drivers.host.snapshots import Snapshots
from services.cloner.drivers.host.states import HostStates
from services.cloner.drivers.port import Capacity, LoginLink, MailMessage
from shared.cells.client import CellsClient
from shared.cells.names import DATABASES
from shared.cells.php_log import last_error
from shared.cells.stylesheets import stylesheets
from shared.engine.room import NoRoom, Places
from shared.ids import is_job_id
from shared.wordpress.transfer.changed_files import ChangedFiles
from shared.wordpress.transfer.ddl import Dialect
from shared.wordpress.transfer.digests import FileDigests
from shared.wordpress.transfer.errors import target_errors
from shared.wordpress.transfer.files import Arrangement, FileSink, Owner, Received, Sink

WRITABLE = ("site", "tmp", "log", "mail", "cache", "quarantine", "records")
SNAPSHOTS = ".snapshots"
DOOMED = ".deleting-"
"""Before the name of a directory that is being removed."""


@dataclass
class HostTarget(CellTarget):
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
    def records(self) -> Path:
        """Where notes about the copy are kept while it is made."""
        return self.directory / "records"

    @property
    def writable(self) -> tuple[Path, ...]:
        """Folders of this machine a carrier writes to."""
        return (self.document_root, self.directory / "quarantine", self.records)

    @property
    def readable(self) -> tuple[Path, ...]:
        """Folders of this machine a carrier reads beside."""
        return (self.directory / "log",)

    def carried(self) -> HostTarget:
        """The same for a process that may open nothing but the folders of the clone."""
        return replace(self, password=self._password())

    def connect(self) -> Connection[Any]:
        """A connection to the clone's database with the clone's rights."""
        return self.databases.connect(self.database, self._password())

    @property
    def database_socket(self) -> Path:
        """Of the one server all clones share."""
        return self.databases.socket

    def sink(self, arrangement: Arrangement, received: Received, digests: FileDigests | None = None) -> Sink:
        """Writes the site's files. Raises OSError when the clone has no directories."""
        return FileSink(arrangement.at(self.document_root, self.directory / "quarantine"), received, digests)

    def changing(self, arrangement: Arrangement, received: Received, digests: FileDigests) -> ChangedFiles:
        """Makes the files that are there into those the source has. Raises OSError when there are no directories."""
        return ChangedFiles(arrangement.at(self.document_root, self.directory / "quarantine"), received, digests)

    def stylesheets(self, uploads: bytes) -> Iterator[tuple[bytes, bytes]]:
        """CSS below the uploads: path and content."""
        return stylesheets(os.fsencode(self.document_root), uploads)

    def php_error(self) -> str:
        """The last error PHP stopped at."""
        return last_error(self.directory / "log")

    def serve(self) -> None:
        """Have the clone answer, if it has been configured. Raises CellsAway."""
        if (self.directory / CONFIG).exists():
            self._serve()

    def _serve(self) -> None:
        self.cells.ensure(self.clone_id)

    def _call(self, call: str, values: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        return self.cells.agent(self.clone_id, call, values, seconds=seconds)

    def _login_key(self) -> str:
        file = self.directory / LOGIN_KEY
        if not file.exists():
            self._write(LOGIN_KEY, login_key_file(new_password()))
        return file.read_text().split("'")[1]

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

    def _write(self, name: str, text: str) -> None:
        path, owner = self.directory / name, self.owner
        if path.exists() and path.read_text() == text:
            return
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.write_text(text)
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

    calls_out: ClassVar[bool] = True
    fetches_media: ClassVar[bool] = True

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

    @property
    def snapshots(self) -> Snapshots:
        """What clones were, kept: on the file system of the clones, so that blocks can be shared."""
        return Snapshots(self.clones / SNAPSHOTS, self.databases)

    @property
    def states(self) -> HostStates:
        """What clones were."""
        return HostStates(self)

    @property
    def images(self) -> HostImages:
        """What sources were, kept."""
        return HostImages(self)

    def ensure(self, clone_id: str) -> None:
        """Make directory, database and user, or find them made. Raises NoRoom when as many clones exist as may."""
        self.place(clone_id).make_place(self.most)

    def dialect(self) -> Dialect:
        """What this MariaDB knows."""
        return self.databases.dialect()

    def php_version(self) -> str:
        """What PHP on the command line says of itself: PHP-FPM is of the same package."""
        return php_version()

    def destroy(self, clone_id: str) -> None:
        """End what runs of it, then remove directory, database, user and snapshots. The host name is gone at once."""
        target = self.place(clone_id)
        self.cells.forget(clone_id)
        doomed = self.clones / f"{DOOMED}{clone_id}"
        if target.directory.exists():
            remove_tree(doomed)
            target.directory.rename(doomed)
        self.databases.drop(target.database)
        remove_tree(doomed)
        self.snapshots.remove_all(clone_id)

    def ids(self) -> list[str]:
        """Clones of which a directory, a database, a user or a snapshot exists."""
        ids = {name.removeprefix(DOOMED) for name in directories(self.clones)}
        ids |= {f"clone-{name.removeprefix(DATABASES)}" for name in self.databases.names()}
        ids |= set(self.snapshots.owners())
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
        return target.mails() if (target.directory / CONFIG).exists() else []

    def login_link(self, clone_id: str, user: str) -> LoginLink:
        """A link that signs in once. Raises FileNotFoundError when there is no such clone."""
        target = self.place(clone_id)
        if not (target.directory / CONFIG).exists():
            raise FileNotFoundError(f"{clone_id} is not on this machine")
        return target.login_link(user)


def directories(clones: Path) -> set[str]:
    """Names of the directories of clones, those on their way out included (`.deleting-…`)."""
    try:
        names = {path.name for path in clones.iterdir()}
    except FileNotFoundError:
        return set()
    return {name for name in names if is_job_id(name.removeprefix(DOOMED))}
