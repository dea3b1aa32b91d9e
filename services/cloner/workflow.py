"""A clone as the engine sees it: named steps with weights and removals.

What reads the source or the clone runs in carriers (`services.cloner.run`); here is what needs the bus, the vault or
the rights of the worker, and it believes nothing of what a carrier says without looking at it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from services.cloner.briefs import Briefs
from services.cloner.carried import Needed, Prepared
from services.cloner.domain import check_space
from services.cloner.drivers.port import Provisioner, Target
from services.cloner.forks import Forks
from services.cloner.images import ImageUse, reused
from services.cloner.made import made
from services.cloner.refresh import EDITS, Refresh
from services.cloner.rows_task import Rows, RowsTask
from services.cloner.run import CloneRun, step
from services.cloner.settings import ClonerSettings
from services.cloner.states import StateJobs
from services.cloner.steps import base, entry, finalize, preflight, reuse, transfer, verify
from shared.bus import base_store
from shared.bus.connector_registry import Connectors
from shared.contract.events import CloneRequested
from shared.contract.jobs import CloneAction, CloneResult, Note, RefreshResult, StateResult
from shared.contract.subjects import Kind
from shared.engine.carriers.carrier import Recipe
from shared.engine.carriers.confine import Account
from shared.engine.carriers.messages import Reported
from shared.engine.worker import JobContext, StepSpec
from shared.errors import JobError
from shared.log import get
from shared.secrets.vault import KeyRing
from shared.wordpress.connector.errors import ConnectorGone, ConnectorRefused
from shared.wordpress.connector.package import build_connector_zip
from shared.wordpress.connector.protocol import parse_pairing_key
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.found import Found, believed, source_key

log = get(__name__)

POLL_SECONDS = 0.25
LOOKING, FILES, ROWS = "looking", "files", "rows"
"""Carriers of a clone: before it has a place, and the two that fill it."""
KEPT = frozenset(
    "connector_key password paired expires_at base_kept wordpress_path fingerprint image image_made_at image_notes"
    " image_tried".split()
)
"""What of the job's memory carriers neither see nor change."""


class CloneWorkflow:
    """Sign in, install, inspect, make room, copy, finish, prove, leave."""

    kind: Kind = "clone"

    def __init__(self, driver: Provisioner, settings: ClonerSettings, keys: KeyRing, connectors: Connectors) -> None:
        self._driver = driver
        self._connectors = connectors
        self._settings = settings
        self._briefs = Briefs(driver, settings, keys)
        self._states = StateJobs(driver)
        self._forks = Forks(driver, keys, self._states, resets=settings.resets)
        self._images = ImageUse(driver, settings)
        self._refresh = Refresh(
            driver,
            keys,
            self._states,
            resets=settings.resets,
            reads=self._read_clone,
            leaves=self._remove_connector,
            destroys=self._destroy,
        )

    def steps(self, command: CloneRequested) -> Sequence[StepSpec]:
        """The nine steps of every clone; or what is done to one that is there."""
        if command.action is CloneAction.FORK:
            return self._forks.steps()
        if command.action is CloneAction.REFRESH:
            return self._refresh.steps(self._making())
        return self._making() if command.action is None else self._states.steps(command)

    def _making(self) -> Sequence[StepSpec]:
        return (
            StepSpec("sign_in", "Sign in to the source", 3, self._sign_in),
            StepSpec("connector", "Install the connector", 4, self._install, undo=self._remove_connector),
            StepSpec("preflight", "Inspect the site", 4, self._preflight),
            StepSpec("provision", "Prepare the clone's place", 3, self._provision, undo=self._destroy),
            StepSpec("files", "Copy files", 38, self._files),
            StepSpec("database", "Copy the database", 34, self._database),
            StepSpec("finalize", "Configure the clone", 5, self._finalize),
            StepSpec("verify", "Verify the clone", 7, self._verify, proof=True),
            StepSpec("remove_connector", "Remove the connector", 2, self._leave),
        )

    async def finish(self, context: JobContext) -> CloneResult | StateResult | RefreshResult:
        """The result; schedules the end of the clone's life."""
        state, command = context.state, context.command
        assert isinstance(command, CloneRequested)
        if command.action is CloneAction.FORK:
            return await self._forks.finish(context)
        if command.action is CloneAction.REFRESH:
            return await self._refresh.finish(context)
        if command.action is not None:
            return await self._states.finish(context)
        received = state["received"]
        return await made(
            context,
            self._driver.place(context.job_id).url,
            files=received["files"],
            bytes=received["size"],
            tables=state["totals"]["tables"],
            rows=state["rows"],
            rewritten=state["rewritten"]["kinds"],
            rewritten_columns=state["rewritten"]["columns"],
            leftovers=state["leftovers"],
            reused=reused(state),
            first_ids=state.get("first_ids", {}),
            media=state.get("media", "copy"),
            media_stayed=state.get("media_stayed"),
            timings=state.get("timings", {}),
        )

    async def cleanup(self, context: JobContext) -> None:
        """After a failure or a cancel the undos have removed everything."""
        await context.release()

    # --- getting in and out

    async def _sign_in(self, context: JobContext) -> None:
        secret = await context.secret()
        if secret.get("pairing_key"):
            self._remember_key(context, parse_pairing_key(secret["pairing_key"]))
            context.state["paired"] = True
        if secret.get("basic_password"):
            # every request needs it, also those of carriers that know no login
            basic = json.dumps([secret["basic_username"], secret["basic_password"]])
            context.state["basic"] = self._briefs.seal(context, basic)
        await self._look(context, entry.sign_in, login=secret)

    async def _install(self, context: JobContext) -> None:
        secret = await context.secret()
        if not context.state.get("paired"):
            await self._join(context, secret)
        try:
            await self._look(context, entry.greet)
        except (ConnectorGone, ConnectorRefused):
            if context.state.get("paired"):
                raise
            # Somebody took it off the source behind our back: install it once more.
            await self._join(context, secret, broken=True)
            await self._look(context, entry.greet)

    async def _join(self, context: JobContext, secret: dict[str, Any], *, broken: bool = False) -> None:
        found = believed(Found, context.state["site"])

        async def waiting() -> None:
            context.report(message="Waiting for the connector another job is installing")
            context.token.check()

        source = source_key(found, context.command.source_url)
        seat = await self._connectors.join(
            source, context.job_id, home=found.home, siteurl=found.siteurl, broken=broken, waiting=waiting
        )
        self._remember_key(context, seat.key)
        await context.checkpoint()
        if seat.must_install:
            archive = await context.blocking(build_connector_zip, seat.key, context.job_id, seat.expires_at)
            await self._look(context, entry.install, archive, login=secret)
            await self._connectors.installed(source, context.job_id)

    async def _leave(self, context: JobContext) -> None:
        """Nobody writes to the clone now, and nobody needs the source any more."""
        needed = context.state.get("needed", 0)
        keeping = self._states.keep_made(context, needed) if self._settings.resets else asyncio.sleep(0)
        done = await asyncio.gather(self._remove_connector(context), keeping, return_exceptions=True)
        for error in filter(None, done):
            raise error

    async def _remove_connector(self, context: JobContext) -> None:
        if context.state.get("paired") or "site" not in context.state:
            return
        try:
            source = source_key(believed(Found, context.state["site"]), context.command.source_url)
        except ImplausibleSite:
            return  # nothing was installed there
        if not await self._connectors.leave(source, context.job_id):
            return  # others still use it, or there never was one
        try:
            secret = await context.secret()
        except JobError:
            secret = {}  # expired: the connector can still remove itself
        gone = await self._look(context, entry.remove, login=secret)
        await self._connectors.forget(source, context.job_id, gone=gone is True)

    def _remember_key(self, context: JobContext, key: bytes) -> None:
        """Keep the connector's key in the job's state, sealed."""
        context.state["connector_key"] = self._briefs.seal(context, base64.b64encode(key).decode())

    # --- its place

    async def _preflight(self, context: JobContext) -> None:
        said = believed(Needed, await self._look(context, preflight.preflight))
        needed = said.size
        check_space(needed, await self._free(context))
        await context.claim(needed, lambda: self._free(context))
        context.state["needed"] = needed
        await self._images.choose(context, said.fingerprint)

    async def _free(self, context: JobContext) -> int:
        return (await context.blocking(self._driver.capacity)).free_bytes

    async def _provision(self, context: JobContext) -> None:
        context.report(message="Making database, user and directory")
        await context.blocking(self._driver.ensure, context.job_id)

    async def _destroy(self, context: JobContext) -> None:
        await context.release()
        await asyncio.to_thread(self._driver.destroy, context.job_id)
        await base_store.forget(context.bus, context.job_id)

    async def _finalize(self, context: JobContext) -> None:
        await self._images.keep(context)
        state, target = context.state, self._driver.place(context.job_id)
        said = believed(Prepared, await self._fill(context, FILES, finalize.prepare))
        command = context.command
        assert isinstance(command, CloneRequested)
        config = said.config.checked(command.options, believed(Found, state["site"]))
        state["media"] = "copy" if config.media is None else "remote"
        if config.allow_http and not self._driver.calls_out:
            text = "Clones of this installation call nobody: the hosts that were allowed can not be reached"
            samples = list(config.allow_http[:20])
            context.note(Note(code="allow_http_ignored", message=text, count=len(config.allow_http), samples=samples))
            config = replace(config, allow_http=())
        await context.blocking(target.write_config, self._refresh.config(context, config))
        password = self._briefs.open(context, state["password"]) if "password" in state else finalize.new_password()
        context.hide(password)
        state["username"] = state.get("username") or said.username
        state["password"], state["wordpress_path"] = self._briefs.seal(context, password), config.wordpress_path
        await context.checkpoint()  # known before it exists, so that another worker sets the same again
        context.report(message="Making the clone's administrator")
        like = await self._account(context)
        await context.blocking(target.make_administrator, state["username"], password, finalize.EMAIL, like=like)

    async def _account(self, context: JobContext) -> str:
        """Who signed in to the source; "" when nobody did, or nobody knows any more."""
        try:
            return str((await context.secret()).get("username") or "")
        except JobError:
            return ""

    async def _verify(self, context: JobContext) -> None:
        keeping = None
        if not context.state.get("base_kept"):
            packing = self._fill(context, FILES, base.pack_up)
            keeping = asyncio.create_task(base.keep(context, self._driver.place(context.job_id), packing), name="base")
        try:
            await self._fill(context, FILES, verify.verify)
        except BaseException:
            if keeping is not None:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
            raise
        if keeping is not None:
            await keeping

    # --- what it holds

    async def _files(self, context: JobContext) -> None:
        await context.release(LOOKING)
        await context.claim(context.state.get("needed", 0))
        changing = False
        if context.state.get("image"):
            await context.release(FILES, ROWS)  # they would go on with the folders that are exchanged now
            changing = await self._images.begin(context)
        rows = context.belonging(Rows)
        database = rows.task = RowsTask(lambda told: self._copy_database(context, told))
        try:
            await self._fill(context, FILES, reuse.change_files if changing else transfer.pull_files)
        except BaseException:
            rows.taken()
            await asyncio.shield(asyncio.create_task(self._stop(context, database)))
            raise

    async def _database(self, context: JobContext) -> None:
        await context.claim(context.state.get("needed", 0))
        coming = context.belonging(Rows).task is not None
        if not coming and (context.state.get("image") or not context.state.get("files_done")):
            await self._files(context)  # from the image again, or anew: nobody knows how far the rows had come
        why = await self._rows(context)
        if why:
            await context.release(FILES)
            await self._images.give_up(context, why)
            await self._files(context)
            await self._rows(context)

    async def _rows(self, context: JobContext) -> str:
        """Wait for every row. Why they could not be made of those of an image."""
        database = context.belonging(Rows).taken() or RowsTask(lambda told: self._copy_database(context, told))
        total = context.state["totals"]["rows"]
        try:
            while not database.task.done():
                context.report(done=database.rows, total=max(total, database.rows), unit="rows")
                await asyncio.wait({database.task}, timeout=POLL_SECONDS)
            why = await database.task
        finally:
            await asyncio.shield(asyncio.create_task(self._stop(context, database)))
        context.report(done=database.rows, total=max(total, database.rows), unit="rows")
        return why

    async def _copy_database(self, context: JobContext, told: Callable[[Reported], None]) -> str:
        copy = reuse.change_database if context.state.get("image") else transfer.copy_database
        return str(await self._fill(context, ROWS, copy, told=told) or "")

    async def _stop(self, context: JobContext, database: RowsTask) -> None:
        """No carrier fills the database any more."""
        await context.release(ROWS)
        await asyncio.gather(database.task, return_exceptions=True)

    # --- carriers

    async def _look(
        self, context: JobContext, function: Callable[..., Any], *arguments: Any, login: dict[str, Any] | None = None
    ) -> Any:
        """A step that needs no place of the clone, in whatever carrier there is."""
        if FILES in context.carriers:
            return await self._fill(context, FILES, function, *arguments, login=login)

        async def make() -> Recipe:
            brief = await self._briefs.brief(context, self._driver.place(context.job_id))
            return Recipe(LOOKING, CloneRun, (brief,), kept=KEPT)

        return await context.confined(LOOKING, make, step, function, self._briefs.secrets(context, login), *arguments)

    async def _read_clone(self, context: JobContext, target: Target, function: Callable[..., Any]) -> Any:
        """A step in a carrier that may read another clone than the one that is made."""
        return await self._fill(context, EDITS, function, target=target)

    async def _fill(
        self,
        context: JobContext,
        name: str,
        function: Callable[..., Any],
        *arguments: Any,
        login: dict[str, Any] | None = None,
        told: Callable[[Reported], None] | None = None,
        target: Target | None = None,
    ) -> Any:
        """A step in a carrier that may write the clone's files; or read those of `target`."""
        reading, target = target is not None, target or self._driver.place(context.job_id)

        async def make() -> Recipe:
            owner, carried = target.owner, await context.blocking(target.carried)
            brief = await self._briefs.brief(context, carried)
            folders, beside = ([str(folder) for folder in found] for found in (target.writable, target.readable))
            return Recipe(
                name,
                CloneRun,
                (brief,),
                account=None if owner is None else Account(owner.uid, owner.gid),
                writable=() if reading else tuple(folders),
                readable=(*beside, *folders) if reading else tuple(beside),
                kept=KEPT,
                told=told,
            )

        return await context.confined(name, make, step, function, self._briefs.secrets(context, login), *arguments)
