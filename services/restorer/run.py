"""What the steps of one restore share in a carrier: the two visits, the facts, the plan.

Everything durable is in the job's state; this is rebuilt from there, or computed again, by whichever carrier
has the job.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from services.restorer.domain.addresses import path_mappings, same_site, url_mappings
from services.restorer.domain.identity import Encoded
from services.restorer.domain.options import Kept, kept_options
from services.restorer.domain.paths import bases
from services.restorer.domain.people import user_map
from services.restorer.domain.tables import Selection, select
from services.restorer.errors import TargetUnreachable
from services.restorer.work import Work
from shared.contract.events import RestoreRequested
from shared.engine.carriers.surface import StepContext
from shared.engine.token import StopToken
from shared.log import get
from shared.settings import Settings
from shared.wordpress.addresses import keep_off
from shared.wordpress.base import BadBase, Base, read_base
from shared.wordpress.connector.writer import SiteWriter
from shared.wordpress.http import site_client
from shared.wordpress.media import stays
from shared.wordpress.rewrite import Rewriter, warm_patterns
from shared.wordpress.visit import Login, Visit

log = get(__name__)

PREFIX = "siteferry-restore-"
BASE = "base"
"""The clone's base as it is stored, below the restore's directory."""
FORGOTTEN = 24 * 3600.0
"""Seconds after which what a killed restorer left in the temporary directory is nobody's."""


def tidy() -> None:
    """Remove what killed restorers left on this machine's disk."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Brief:
    """What the worker tells a carrier about the restore."""

    directory: Path
    """Where changed rows and files wait on their way, and where the worker has put the clone's base."""
    allow_private_sources: bool
    connector_hours: int
    watch_seconds: float
    preserved_tables: tuple[str, ...] = ()
    """Patterns of tables that are production's in every restore."""


@dataclass(frozen=True)
class Secrets:
    """What the worker has opened for one call, by visit."""

    logins: dict[str, Login] = field(default_factory=dict, repr=False)
    keys: dict[str, bytes] = field(default_factory=dict, repr=False)


class RestoreRun:
    """One restore in a carrier. Its properties are made when first asked for."""

    def __init__(self, context: StepContext, brief: Brief) -> None:
        self.context = context
        self.settings = brief
        self.directory = brief.directory
        hours, command = brief.connector_hours, self.command
        # A clone is ours, wherever it lives; whether a production may be in a private network is the operator's choice.
        near = brief.allow_private_sources or command.clone_id is not None
        self.source = Visit(context, name="source", url=command.source_url, allow_private=near, hours=hours)
        self.target = Visit(
            context,
            name="target",
            url=command.target_url,
            allow_private=brief.allow_private_sources,
            hours=hours,
            unreachable=TargetUnreachable,
        )
        self.work: Work | None = None
        """The plan and what is staged of it; None until it was made in this carrier."""
        self.owner = ""
        """Login of the administrator of the target."""
        self.clone_admin = ""
        """Login of the clone's own administrator."""

    def learn(self, secrets: Secrets) -> None:
        """What the worker has opened for the next call."""
        for visit in (self.source, self.target):
            visit.learn(secrets.logins.get(visit.name, Login()), secrets.keys.get(visit.name, b""))
        self.owner = secrets.logins.get("target", Login()).username
        if self.command.clone_id is not None:
            self.clone_admin = secrets.logins.get("source", Login()).username

    @cached_property
    def base(self) -> Base | None:
        """What the site was when the clone was made; None: nobody knows, so every difference is the clone's."""
        # a clone may be restored to another site than the one it was made from: then its base says nothing
        fetched = self._fetched
        return fetched if fetched and same_site(fetched.header.source, self.target.site.home) else None

    def never_came(self, base: str, path: bytes) -> bool:
        """Whether a file of the source would have stayed there when the clone was made (ADR 59)."""
        return self.base is not None and self.base.header.media_stayed and base == "uploads" and stays(path)

    @property
    def media_elsewhere(self) -> str:
        """Where the media are that the clone shows, if that is not the target; "" if it is, or they came with it."""
        fetched = self._fetched
        return fetched.header.source if fetched and fetched.header.media_stayed and self.base is None else ""

    @cached_property
    def _fetched(self) -> Base | None:
        """What the worker has put there."""
        try:
            with (self.directory / BASE).open("rb") as packed:
                return read_base(packed)
        except FileNotFoundError:
            return None
        except BadBase as error:
            log.warning("the base of a clone can not be read", job=self.context.job_id, error=str(error))
            return None

    @property
    def command(self) -> RestoreRequested:
        """What was asked for."""
        command = self.context.command
        assert isinstance(command, RestoreRequested)
        return command

    @property
    def state(self) -> dict[str, Any]:
        """The job's memory."""
        return self.context.state

    @property
    def token(self) -> StopToken:
        """Tells when to stop."""
        return self.context.token

    @property
    def snapshot_id(self) -> str:
        """Id of the restore whose snapshot this job makes, goes back to, or removes."""
        return self.command.snapshot_id or self.context.job_id

    @cached_property
    def reader(self) -> SiteWriter:
        """The source, which is only read."""
        return SiteWriter(self.source.client, self.context.job_id)

    @cached_property
    def writer(self) -> SiteWriter:
        """The target."""
        return SiteWriter(self.target.client, self.snapshot_id)

    @cached_property
    def theirs(self) -> dict[str, Any]:
        """The inspection of the source."""
        return self.reader.inspect()

    @cached_property
    def ours(self) -> dict[str, Any]:
        """The inspection of the target."""
        return self.writer.inspect()

    @cached_property
    def kept(self) -> Kept:
        """Options that stay production's."""
        return kept_options(self.command.options, (self.ours["prefix"], self.theirs["prefix"]))

    @property
    def bases_kept(self) -> dict[str, str]:
        """Directories of production that stay as they are, and why."""
        return bases(self.command.options)

    @cached_property
    def selection(self) -> Selection:
        """The tables. Raises SchemaDrift, UnsupportedTables."""
        admins = [int(number) for number, login in self.theirs["users"] if login == self.clone_admin]
        preserved = self.settings.preserved_tables
        return select(self.theirs, self.ours, self.command.options, self.kept, admins, preserved=preserved)

    @cached_property
    def users(self) -> dict[bytes, bytes]:
        """Clone id -> production id."""
        if not self.command.options.preserve_users:
            there = [(number, login) for number, login in self.theirs["users"] if login != self.clone_admin]
            return user_map(self.theirs["users"], there, owner=self.owner)
        return user_map(self.theirs["users"], self.ours["users"], owner=self.owner)

    @cached_property
    def rewriter(self) -> Rewriter:
        """Maps the source's URLs and paths to the target's."""
        urls = url_mappings(self.theirs["urls"], self.ours["urls"])
        paths = path_mappings(self.theirs, self.ours)
        return Rewriter(urls, paths, rewrite_bare_domains=self.command.clone_id is not None)

    @cached_property
    def encoded(self) -> Encoded:
        """The addresses of both sites, in forms that are not rewritten."""
        return Encoded(facts["urls"][name] for facts in (self.theirs, self.ours) for name in ("home", "siteurl"))

    @cached_property
    def encoded_clone(self) -> Encoded:
        """Those of the source alone."""
        return Encoded(self.theirs["urls"][name] for name in ("home", "siteurl"))

    def forget_work(self) -> None:
        """Begin with the plan again: the target has lost what was staged, or the process is a new one."""
        self.work = None
        for name in ("theirs", "ours", "kept", "selection", "users", "rewriter", "encoded", "encoded_clone"):
            self.__dict__.pop(name, None)


def step(run: RestoreRun, function: Callable[..., Any], secrets: Secrets, *arguments: Any) -> Any:
    """One call of the worker: what it has opened, then the step itself."""
    run.learn(secrets)
    return function(run, *arguments)


def at(run: RestoreRun, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """A step of one of the two visits."""
    return function(run.target if name == "target" else run.source, *arguments)


def warm() -> None:
    """Whatever is loaded late: once, before carriers are forked; and what they must keep off."""
    keep_off(Settings().own)
    site_client().close()
    warm_patterns()
