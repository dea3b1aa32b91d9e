"""A clone as the engine sees it: named steps with weights and removals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from services.cloner.drivers.port import Provisioner
from services.cloner.run import CloneRun
from services.cloner.settings import ClonerSettings
from services.cloner.steps import base, entry, finalize, preflight, transfer, verify
from shared.bus import base_store
from shared.bus.connector_registry import Connectors
from shared.contract.events import CloneRequested, Expire
from shared.contract.jobs import CloneResult
from shared.contract.subjects import EventType, Kind
from shared.engine.worker import JobContext, StepSpec
from shared.errors import JobError
from shared.log import get
from shared.secrets.vault import KeyRing
from shared.wordpress.connector.errors import ConnectorGone, ConnectorRefused

log = get(__name__)

POLL_SECONDS = 0.25


class CloneWorkflow:
    """Sign in, install, inspect, make room, copy, finish, prove, leave."""

    kind: Kind = "clone"

    def __init__(self, driver: Provisioner, settings: ClonerSettings, keys: KeyRing, connectors: Connectors) -> None:
        self._driver = driver
        self._connectors = connectors
        self._settings = settings
        self._keys = keys
        self._runs: dict[int, CloneRun] = {}
        self._databases: dict[int, transfer.DatabaseTransfer] = {}

    def steps(self, command: CloneRequested) -> Sequence[StepSpec]:
        """The nine steps of every clone."""
        return (
            StepSpec("sign_in", "Sign in to the source", 3, self._sign_in),
            StepSpec("connector", "Install the connector", 4, self._install, undo=self._remove_connector),
            StepSpec("preflight", "Inspect the site", 4, self._blocking(preflight.preflight)),
            StepSpec("provision", "Prepare the clone's place", 3, self._provision, undo=self._destroy),
            StepSpec("files", "Copy files", 38, self._files),
            StepSpec("database", "Copy the database", 34, self._database),
            StepSpec("finalize", "Configure the clone", 5, self._blocking(finalize.finalize)),
            StepSpec("verify", "Verify the clone", 7, self._verify, proof=True),
            StepSpec("remove_connector", "Remove the connector", 2, self._remove_connector),
        )

    async def finish(self, context: JobContext) -> CloneResult:
        """The result; schedules the end of the clone's life."""
        run, state = self._run(context), context.state
        if "expires_at" not in state:
            minutes = run.command.ttl_minutes
            state["expires_at"] = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
            await context.checkpoint()
        expires_at = datetime.fromisoformat(state["expires_at"])
        expire = Expire(job_id=context.job_id, lane=context.lane)
        await context.bus.schedule(expire, slot=EventType.SCHEDULE_EXPIRE, at=expires_at)
        received, url = state["received"], run.target.url
        self._forget(context)
        return CloneResult(
            clone_id=context.job_id,
            clone_url=f"{url}/",
            admin_url=f"{url}/{state.get('wordpress_path', '')}".rstrip("/") + "/wp-admin/",
            username=state["username"],
            sealed_password=state["password"],
            expires_at=expires_at,
            files=received["files"],
            bytes=received["size"],
            tables=state["totals"]["tables"],
            rows=state["rows"],
            rewritten=state["rewritten"]["kinds"],
            rewritten_columns=state["rewritten"]["columns"],
            leftovers=state["leftovers"],
            notes=context.notes,
            timings=state.get("timings", {}),
        )

    async def cleanup(self, context: JobContext) -> None:
        """After a failure or a cancel the undos have removed everything; only memory is left."""
        self._forget(context)

    def _run(self, context: JobContext) -> CloneRun:
        key = id(context)
        if key not in self._runs:
            self._runs[key] = CloneRun(context, self._driver, self._settings, self._keys)
        return self._runs[key]

    def _forget(self, context: JobContext) -> None:
        self._runs.pop(id(context), None)

    def _blocking(self, step: Callable[[CloneRun], None]) -> Callable[[JobContext], Awaitable[None]]:
        async def run(context: JobContext) -> None:
            await context.blocking(step, self._run(context))

        return run

    async def _sign_in(self, context: JobContext) -> None:
        await context.blocking(entry.sign_in, self._run(context), await context.secret())

    async def _install(self, context: JobContext) -> None:
        run, secret = self._run(context), await context.secret()
        if not run.state.get("paired"):
            await self._join(run, secret)
        try:
            await context.blocking(entry.greet, run)
        except (ConnectorGone, ConnectorRefused):
            if run.state.get("paired"):
                raise
            # Somebody took it off the source behind our back: install it once more.
            await self._join(run, secret, broken=True)
            await context.blocking(entry.greet, run)

    async def _join(self, run: CloneRun, secret: dict[str, Any], *, broken: bool = False) -> None:
        context, source = run.context, run.site.home

        async def waiting() -> None:
            context.report(message="Waiting for the connector another job is installing")
            context.token.check()

        seat = await self._connectors.join(
            source, context.job_id, siteurl=run.site.siteurl, broken=broken, waiting=waiting
        )
        run.remember_key(seat.key)
        await context.checkpoint()
        if seat.must_install:
            await context.blocking(entry.install, run, secret, seat.expires_at)
            await self._connectors.installed(source, context.job_id)

    async def _remove_connector(self, context: JobContext) -> None:
        run = self._run(context)
        if run.state.get("paired") or "site" not in run.state:
            return
        if not await self._connectors.leave(run.site.home, context.job_id):
            return  # others still use it, or there never was one
        try:
            secret: dict[str, Any] | None = await context.secret()
        except JobError:
            secret = None  # expired: the connector can still remove itself
        gone = await context.blocking(entry.remove, run, secret)
        await self._connectors.forget(run.site.home, context.job_id, gone=gone)

    async def _provision(self, context: JobContext) -> None:
        context.report(message="Making database, user and directory")
        await context.blocking(self._driver.ensure, context.job_id)

    async def _destroy(self, context: JobContext) -> None:
        await asyncio.to_thread(self._driver.destroy, context.job_id)
        await base_store.forget(context.bus, context.job_id)

    async def _verify(self, context: JobContext) -> None:
        run = self._run(context)
        keeping = asyncio.create_task(base.keep(run), name="base")
        try:
            await context.blocking(verify.verify, run)
        except BaseException:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            raise
        await keeping

    async def _files(self, context: JobContext) -> None:
        run = self._run(context)
        await context.blocking(lambda: run.rewriter)
        database = transfer.DatabaseTransfer(run)
        self._databases[id(context)] = database
        database.start()
        try:
            await context.blocking(transfer.pull_files, run)
        except BaseException:
            del self._databases[id(context)]
            await asyncio.shield(asyncio.to_thread(database.stop))
            raise

    async def _database(self, context: JobContext) -> None:
        run = self._run(context)
        database = self._databases.pop(id(context), None)
        if database is None:
            database = transfer.DatabaseTransfer(run)
            database.start()
        total = context.state["totals"]["rows"]
        try:
            while database.is_alive():
                context.report(done=database.rows, total=max(total, database.rows), unit="rows")
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await asyncio.shield(asyncio.to_thread(database.stop))
        if database.error is not None:
            raise database.error
        context.report(done=database.rows, total=max(total, database.rows), unit="rows")
        context.state["wordpress_path"] = run.plan.config.wordpress_path
