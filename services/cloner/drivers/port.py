"""The port behind which clones live. Every driver passes the same tests (tests/contract/test_provisioner.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pymysql.connections import Connection

from shared.engine.room import Places
from shared.wordpress.transfer.changed_files import ChangedFiles
from shared.wordpress.transfer.ddl import Dialect
from shared.wordpress.transfer.digests import FileDigests
from shared.wordpress.transfer.files import Arrangement, Owner, Received, Sink


@dataclass(frozen=True)
class Capacity:
    """Room for more: bytes free on the disk that holds files and databases."""

    free_bytes: int


@dataclass(frozen=True)
class MailMessage:
    """One captured mail."""

    id: str
    time: str
    to: list[str]
    subject: str
    headers: list[str]
    body: str
    attachments: list[str]


@dataclass(frozen=True)
class LoginLink:
    """What, in the query of the clone's login page, signs in once (`cell/guard/login.php`)."""

    query: str
    login: str
    """Login name of the user."""
    ends: datetime


@dataclass(frozen=True)
class KeptState:
    """What a clone was at one moment."""

    name: str
    made_at: str
    """ISO 8601, UTC; "" when what is stored about it can not be read."""
    files: int = 0
    bytes: int = 0
    """Of files and tables."""
    tables: int = 0


class States(Protocol):
    """What clones were, kept by name. Blocking; one deed at a time for each clone. Raises the errors of its driver.

    `check` raises to stop; a deed that has reached its point of no return is completed first.
    """

    def keep(
        self, clone_id: str, name: str, *, facts: Mapping[str, Any], check: Callable[[], None], durable: bool
    ) -> KeptState:
        """Store what the clone is now; a state of this name stays as it is, and is told."""

    def put_back(self, clone_id: str, name: str, *, check: Callable[[], None]) -> tuple[KeptState, list[str]]:
        """Exchange what the clone holds for a state; and what of it could not be made, in words."""

    def fork(self, clone_id: str, fork_id: str, *, check: Callable[[], None]) -> tuple[KeptState, SiteConfig]:
        """Fill a new clone's place with what a clone is now; with which configuration it is to be finished."""

    def to_read(self, clone_id: str) -> Target:
        """The place of a clone that is there, with an empty folder for its records. Raises CloneGone."""

    def renew(self, clone_id: str, beside: str, *, keep: bool, check: Callable[[], None]) -> list[str]:
        """Exchange what a clone holds for what was made in the place `beside`, which names the clone's address; and
        what of it could not be made, in words. `keep`: a reset puts it back to this. What was kept of it being made
        goes."""

    def renewed(self, clone_id: str, beside: str, *, keep: bool) -> bool:
        """End what a death left half done, and tell whether the clone is what was made `beside`."""

    def settle(self, clone_id: str) -> None:
        """End what a death left half done: the clone is what it was, or wholly the state."""

    def kept(self, clone_id: str) -> list[KeptState]:
        """The states of a clone."""

    def drop(self, clone_id: str, name: str) -> None:
        """Remove a state; nothing happens when it is not there."""

    def sweep(self, *, dry_run: bool) -> list[str]:
        """Remove what deaths left of states that were being kept or dropped, of images, too: what of whom, for each."""


class UserNotFound(Exception):
    """The clone has no such user."""


class CloneSilent(Exception):
    """The clone's WordPress does not start; the message has PHP's own words."""


@dataclass(frozen=True)
class Image:
    """What a source was when a clone of it was made, kept to begin further clones with."""

    id: str
    tenant: str
    source: str
    """Under which name the source's jobs share (`shared.wordpress.found.source_key`)."""
    fingerprint: str
    """Of everything that decided what was copied and how."""
    made_at: datetime
    used_at: datetime
    files: int
    bytes: int
    """Of files and tables; where blocks are shared the disk holds fewer."""
    rows: int
    facts: Mapping[str, Any]
    """What was kept with it."""


class Images(Protocol):
    """Images of sources. Blocking. Raises OSError and the errors of snapshots and of the target."""

    def capture(self, clone_id: str, rows: str, facts: Mapping[str, Any], *, check: Callable[[], None]) -> Image:
        """Keep what the clone is; `rows`: the file of its records that tells of its rows. `check` raises to stop."""

    def all(self) -> list[Image]:
        """Those that can be read, newest first, of every tenant."""

    def put(self, image: str, clone_id: str, rows: str, *, check: Callable[[], None]) -> None:
        """Fill a clone's place with an image, and write what is known of its rows as this file of its records."""

    def drop(self, image: str) -> None:
        """Remove one; nothing happens when it is not there."""

    def orphans(self) -> list[str]:
        """Ids of what deaths left of images."""

    def free_bytes(self) -> int:
        """Of the disk they are on."""


class Target(Protocol):
    """One clone's place: where files go, where rows go, how its PHP is run. Blocking; used from worker threads."""

    @property
    def url(self) -> str:
        """Origin of the clone, no trailing slash."""

    @property
    def database(self) -> str:
        """Name of the clone's database and of its user."""

    @property
    def document_root(self) -> Path:
        """Where the site's files are for its own PHP; on another machine, perhaps."""

    @property
    def records(self) -> Path:
        """Where the cloner keeps notes about the copy, on this machine; nothing the site could read."""

    @property
    def writable(self) -> tuple[Path, ...]:
        """Folders of this machine a carrier must be able to write to."""

    @property
    def readable(self) -> tuple[Path, ...]:
        """Folders of this machine a carrier must be able to read beside."""

    @property
    def owner(self) -> Owner | None:
        """Who must own what is written, when it is not us."""

    def carried(self) -> Target:
        """The same place for a carrier: can be pickled, knows the login of the clone's own database, and no other."""

    def sink(self, arrangement: Arrangement, received: Received, digests: FileDigests | None = None) -> Sink:
        """Takes the site's files; counts in `received`, and has `digests` take note of every file that is complete."""

    def changing(self, arrangement: Arrangement, received: Received, digests: FileDigests) -> ChangedFiles:
        """Makes the files that are there into those the source has. Only where the driver has images."""

    def stylesheets(self, uploads: bytes) -> Iterator[tuple[bytes, bytes]]:
        """CSS below the uploads (relative to the document root): path there, and content; perhaps forged."""

    def php_error(self) -> str:
        """The last error the clone's PHP stopped at, in one line; "" for none. Whoever reads it reads the site."""

    def connect(self) -> Connection[Any]:
        """A connection to the clone's database with the clone's rights only. Rows are loaded by a `PipeLoad` alone."""

    def write_config(self, config: SiteConfig) -> None:
        """Write wp-config.php and the guard; idempotent."""

    def make_administrator(self, username: str, password: str, email: str, *, like: str = "") -> None:
        """Create the clone's administrator or set its password again. Raises FinalizeFailed, WordPressMissing.

        `like`: name or e-mail address of an account whose personal capabilities it gets too.
        """


@dataclass(frozen=True)
class SiteConfig:
    """What the clone's generated configuration holds."""

    prefix: str
    charset: str
    collate: str
    constants: dict[str, str | int | float | bool]
    """Allow-listed constants of the source."""
    wordpress_path: str
    """Directory of WordPress relative to the document root, "" when they are the same."""
    content_path: str | None
    """Content directory relative to the document root when it is not `<wordpress_path>/wp-content`."""
    source_host: str
    allow_http: Sequence[str] = ()
    quarantined_plugins: Sequence[str] = ()
    media: Mapping[str, str] | None = None
    """Where media are fetched from (`services.cloner.media.Origin`); None: they came with the clone."""


class Provisioner(Protocol):
    """Makes and removes clones' places. All methods are blocking and idempotent on the clone id."""

    calls_out: ClassVar[bool]
    """Whether a clone can reach the hosts its owner allows it."""
    fetches_media: ClassVar[bool]
    """Whether media may stay on the source, to be fetched when a clone is asked for them."""

    @property
    def states(self) -> States | None:
        """What clones were; None: this driver keeps nothing."""

    @property
    def images(self) -> Images | None:
        """Images of sources; None where clones can not begin with any."""

    def place(self, clone_id: str) -> Target:
        """Where the clone is or would be. Makes nothing."""

    def ensure(self, clone_id: str) -> None:
        """Make the place (directory, database, user with rights on that database only) or find it made.

        Raises NoRoom when as many exist as may.
        """

    def dialect(self) -> Dialect:
        """What the database server knows."""

    def php_version(self) -> str:
        """Version of the PHP clones run on, such as "8.2.26"; "" when it can not be told."""

    def destroy(self, clone_id: str) -> None:
        """Remove everything of the clone. Nothing happens when there is nothing."""

    def ids(self) -> list[str]:
        """Ids of all clones of which anything exists: a directory, a database or a user."""

    def capacity(self) -> Capacity:
        """What is free."""

    def places(self) -> Places | None:
        """How many clones may exist at the same time, and which do; None when there is no limit."""

    def mails(self, clone_id: str) -> list[MailMessage]:
        """The captured mail of a clone, newest first. Empty when the clone does not exist."""

    def login_link(self, clone_id: str, user: str) -> LoginLink:
        """A link that signs one of the clone's users in, once, within a minute; `user` is a name or an e-mail address.

        Raises UserNotFound, CloneSilent, and OSError when there is no such clone.
        """
