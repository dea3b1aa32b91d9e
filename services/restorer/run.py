"""What the steps of one restore share while they run in this process: the two visits, the facts, the plan.

Everything durable is in the job's state; this is rebuilt from there, or computed again, by whoever has the job.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from services.restorer.domain.addresses import path_mappings, url_mappings
from services.restorer.domain.options import Kept, kept_options
from services.restorer.domain.paths import bases
from services.restorer.domain.people import user_map
from services.restorer.domain.tables import Selection, select
from services.restorer.errors import TargetUnreachable
from services.restorer.settings import RestorerSettings
from services.restorer.work import Work
from shared.bus.connector_registry import Connectors
from shared.contract.events import RestoreRequested
from shared.contract.jobs import RestoreAction
from shared.engine.worker import JobContext, StopToken
from shared.secrets.vault import KeyRing
from shared.wordpress.base import Base
from shared.wordpress.connector.writer import SiteWriter
from shared.wordpress.rewrite import Rewriter
from shared.wordpress.visit import Visit

PREFIX = "siteferry-restore-"
FORGOTTEN = 24 * 3600.0
"""Seconds after which what a killed restorer left in the temporary directory is nobody's."""


def tidy() -> None:
    """Remove what killed restorers left on this machine's disk."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > FORGOTTEN:
                shutil.rmtree(path, ignore_errors=True)


class RestoreRun:
    """One restore in the hands of this worker. Its properties are made when first asked for."""

    def __init__(self, context: JobContext, settings: RestorerSettings, keys: KeyRing, connectors: Connectors) -> None:
        self.context = context
        self.settings = settings
        hours = settings.connector_hours
        command = self.command
        # A clone is ours, wherever it lives; whether a production may be in a private network is the operator's choice.
        near = settings.allow_private_sources or command.clone_id is not None
        self.source = Visit(
            context, connectors, keys, name="source", url=command.source_url, allow_private=near, hours=hours
        )
        self.target = Visit(
            context,
            connectors,
            keys,
            name="target",
            url=command.target_url,
            allow_private=settings.allow_private_sources,
            hours=hours,
            unreachable=TargetUnreachable,
        )
        self.work: Work | None = None
        """The plan and what is staged of it; None until it was made in this process."""
        self.base: Base | None = None
        """What the site was when the clone was made; None: nobody knows, so every difference is the clone's."""
        self.base_asked = False
        self.owner = ""
        """Login of the administrator of the target."""
        self.clone_admin = ""
        """Login of the clone's own administrator."""

    @property
    def visits(self) -> list[Visit]:
        """The sites this job goes to."""
        return [self.target, self.source] if self.command.action is RestoreAction.RESTORE else [self.target]

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
        return select(self.theirs, self.ours, self.command.options, self.kept, admins)

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
    def directory(self) -> Path:
        """Where changed rows and files wait on their way; gone with `close`."""
        return Path(tempfile.mkdtemp(prefix=PREFIX))

    def forget_work(self) -> None:
        """Begin with the plan again: the target has lost what was staged, or the process is a new one."""
        self.work = None
        for name in ("theirs", "ours", "kept", "selection", "users", "rewriter"):
            self.__dict__.pop(name, None)

    def close(self) -> None:
        """Close connections, remove what waited here."""
        self.source.close()
        self.target.close()
        if "directory" in self.__dict__:
            shutil.rmtree(self.directory, ignore_errors=True)
            del self.directory
