"""A restore as the engine sees it: named steps with weights and removals, for each of its three actions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from nats.errors import Error as NatsError

from services.restorer import rebase
from services.restorer.domain.addresses import same_site
from services.restorer.errors import RestoreRolledBack
from services.restorer.run import RestoreRun
from services.restorer.schedule import forget_discard, schedule_discard
from services.restorer.settings import RestorerSettings
from services.restorer.steps import exchange, plan, preflight, stage, verify, watch
from shared.bus import base_store
from shared.bus.connector_registry import Connectors
from shared.contract.events import Discarded, RestoreRequested, RolledBack
from shared.contract.jobs import Note, RestoreAction, RestorePlan, RestoreResult
from shared.contract.snapshot_discard import discard_of
from shared.contract.subjects import Kind
from shared.engine.worker import JobContext, StepSpec
from shared.errors import JobError
from shared.log import get
from shared.secrets.vault import KeyRing
from shared.wordpress.connector.target import SwapPhase
from shared.wordpress.visit import Visit

log = get(__name__)

Step = Callable[[JobContext], Awaitable[None]]


class RestoreWorkflow:
    """Compare, stage beside, prove, exchange at once, watch, leave; and the two ways out of it afterwards."""

    kind: Kind = "restore"

    def __init__(self, settings: RestorerSettings, keys: KeyRing, connectors: Connectors) -> None:
        self._settings = settings
        self._keys = keys
        self._connectors = connectors
        self._runs: dict[int, RestoreRun] = {}

    def steps(self, command: RestoreRequested) -> Sequence[StepSpec]:
        """The steps of one action."""
        entering = (
            StepSpec("sign_in", "Sign in", 4, self._sign_in),
            StepSpec("connector", "Install the connector", 6, self._enter, undo=self._leave),
        )
        leaving = StepSpec("remove_connector", "Remove the connector", 3, self._leave)
        if command.action is RestoreAction.ROLLBACK:
            back = StepSpec("rollback", "Roll back", 20, self._blocking(_roll_back), max_tries=6)
            return (*entering, back, StepSpec("watch", "Look at the site", 6, self._look_again), leaving)
        if command.action is RestoreAction.DISCARD:
            return (*entering, StepSpec("discard", "Remove the snapshot", 10, self._discard), leaving)
        comparing = (
            StepSpec("preflight", "Inspect both sites", 4, self._blocking(preflight.preflight)),
            StepSpec("plan", "Compare the two sites", 24, self._blocking(plan.plan)),
        )
        if command.dry_run:
            return (*entering, *comparing, leaving)
        return (
            *entering,
            *comparing,
            StepSpec("snapshot", "Look at the site as it is", 3, self._changing(watch.remember)),
            StepSpec(
                "stage", "Stage rows", 22, self._changing(stage.stage_rows), undo=self._blocking(exchange.drop_stage)
            ),
            StepSpec("files", "Stage files", 20, self._changing(stage.stage_files)),
            StepSpec("verify", "Verify what is staged", 8, self._changing(verify.verify)),
            StepSpec(
                "swap", "Exchange", 4, self._changing(exchange.swap), undo=self._blocking(exchange.undo), max_tries=6
            ),
            StepSpec("watch", "Watch the site", 6, self._watch),
            leaving,
        )

    async def finish(self, context: JobContext) -> RestoreResult:
        """The result; schedules the end of the snapshot, or tells the snapshot's story how it ended."""
        run, command, state = self._run(context), self._run(context).command, context.state
        expires_at = None
        if "swap" in state and command.action is RestoreAction.RESTORE:
            if "expires_at" not in state:
                state["expires_at"] = (datetime.now(UTC) + timedelta(hours=command.snapshot_hours)).isoformat()
                await context.checkpoint()
            expires_at = datetime.fromisoformat(state["expires_at"])
            await schedule_discard(context, command, at=expires_at)
        elif command.action is not RestoreAction.RESTORE:
            await self._tell(context, command)
        result = self._result(run, expires_at)
        self._forget(context)
        return result

    async def cleanup(self, context: JobContext) -> None:
        """After a failure or a cancel the undos have removed everything; only memory is left."""
        self._forget(context)

    def _result(self, run: RestoreRun, expires_at: datetime | None) -> RestoreResult:
        state, command = run.state, run.command
        swapped = state.get("swap", {})
        return RestoreResult(
            target_url=command.target_url,
            action=command.action,
            dry_run=command.dry_run,
            plan=RestorePlan.model_validate(state["plan"]) if "plan" in state else None,
            snapshot_id=run.snapshot_id if expires_at or command.action is not RestoreAction.RESTORE else None,
            snapshot_expires_at=expires_at,
            snapshot_bytes=state.get("snapshot_bytes", 0),
            tables=swapped.get("tables", 0),
            rows=state.get("rows", 0),
            files=state.get("files", 0),
            bytes=state.get("bytes", 0),
            rewritten=state.get("rewritten", {}),
            leftovers=state.get("leftovers", 0),
            late_rows=swapped.get("late_rows", 0),
            write_unavailable_ms=swapped.get("rename_ms", 0.0),
            notes=run.context.notes,
            timings=state.get("timings", {}),
        )

    # --- getting in and out

    async def _sign_in(self, context: JobContext) -> None:
        run, secret = self._run(context), await self._secret(context)
        await _together([visit.sign_in(*_login(visit, secret)) for visit in run.visits])

    async def _enter(self, context: JobContext) -> None:
        run, secret = self._run(context), await self._secret(context)
        entering = [visit.enter(*_login(visit, secret)) for visit in run.visits]
        await _together([*entering, self._remember_base(context)])  # it is read while the sites install

    async def _leave(self, context: JobContext) -> None:
        run = self._run(context)
        try:
            secret = await self._secret(context)
        except JobError:
            secret = {}  # expired: the connectors can still remove themselves
        for visit in (run.source, run.target):
            await visit.leave(*_login(visit, secret))

    async def _secret(self, context: JobContext) -> dict[str, str]:
        secret = {name: str(value) for name, value in (await context.secret()).items()}
        run = self._run(context)
        run.owner = secret.get("target_username", "")
        if run.command.clone_id is not None:
            run.clone_admin = secret.get("source_username", "")
        return secret

    # --- steps that also speak to the bus

    async def _watch(self, context: JobContext) -> None:
        run, state = self._run(context), context.state
        if state.get("nothing"):
            return
        since = state.setdefault("watched_since", time.time() - 2)
        if not state.get("broken"):
            state["broken"] = await context.blocking(watch.watch, run)
            await context.checkpoint()  # whoever takes over rolls back too, and says why
        found = state["broken"]
        if not found:
            await _together([context.blocking(_measure, run), self._rebase(run)])
            return
        said = await context.blocking(watch.explained, run, since)
        done = await context.blocking(exchange.roll_back, run)
        said = said or await context.blocking(watch.explained, run, since)  # a dead site could not say it
        reason = f"{found[0]}{' (' + said[-1][:300] + ')' if said else ''}"
        event = RolledBack(job_id=context.job_id, lane=context.lane, snapshot_id=context.job_id, reason=reason)
        await context.bus.publish(event, msg_id=f"{context.job_id}:{context.attempt}:rolled_back")
        raise RestoreRolledBack(
            f"The site got worse, so everything is as it was before: {reason}.",
            findings=found[:10],
            php_errors=said,
            rename_ms=done.rename_ms,
            total_ms=done.total_ms,
        )

    async def _look_again(self, context: JobContext) -> None:
        """Say how the site is after a roll-back; remove what is not needed any more."""
        run = self._run(context)
        seen = await context.blocking(watch.look, run)
        failing = [f"{one.url}: HTTP {one.status}" for one in seen if one.status == 0 or one.status >= 500]
        if failing:
            context.note(Note(code="pages_failing", message="Pages that fail after the roll-back", samples=failing))
        await context.blocking(run.writer.drop, snapshot=True)
        try:
            await rebase.go_back(context.bus, run.snapshot_id)
        except (NatsError, TimeoutError, OSError) as error:
            log.warning("the base is not what it was", job=context.job_id, error=repr(error))

    async def _rebase(self, run: RestoreRun) -> None:
        """The next restore of this clone begins from here. Without it, it only asks more often."""
        if run.base is None or run.work is None:
            return
        context = run.context
        try:
            after = await context.blocking(rebase.after_restore, run.base, run.work, context.state["planned_at"])
            await rebase.remember(context.bus, run.base, after, context.job_id, run.directory)
        except (NatsError, TimeoutError, OSError) as error:
            log.warning("the clone's base stays as it was", job=context.job_id, error=repr(error))

    async def _discard(self, context: JobContext) -> None:
        run = self._run(context)
        found = await context.blocking(run.writer.state)
        if found.state is SwapPhase.NONE:
            context.note(Note(code="snapshot_gone", message="The snapshot was not on the target any more"))
        else:
            await context.blocking(run.writer.drop, snapshot=True)
        with suppress(NatsError, TimeoutError):  # ends by itself
            await base_store.forget(context.bus, run.snapshot_id)

    async def _tell(self, context: JobContext, command: RestoreRequested) -> None:
        """The outcome, on the story of the restore that made the snapshot."""
        snapshot = command.snapshot_id or context.job_id
        if command.action is RestoreAction.ROLLBACK:
            event: RolledBack | Discarded = RolledBack(
                job_id=snapshot, lane=context.lane, snapshot_id=snapshot, reason="asked for", automatic=False
            )
        else:
            why = "expired" if context.job_id == discard_of(snapshot) else "discarded"
            event = Discarded(job_id=snapshot, lane=context.lane, snapshot_id=snapshot, reason=why)
        await context.bus.publish(event, msg_id=f"{snapshot}:{command.action}")
        if context.job_id != discard_of(snapshot):
            await forget_discard(context, snapshot)

    # --- one restore in this process

    async def _remember_base(self, context: JobContext) -> None:
        """What the site was when the clone was made, once: any step may have to plan again."""
        run = self._run(context)
        if run.base_asked or run.command.clone_id is None or run.command.action is not RestoreAction.RESTORE:
            return
        run.base_asked = True
        try:
            base = await base_store.load(context.bus, run.command.clone_id)
        except (NatsError, TimeoutError) as error:
            log.warning("the base can not be read", job=context.job_id, error=repr(error))
            return
        # a clone may be restored to another site than the one it was made from: then its base says nothing
        if base is not None and same_site(base.header.source, run.target.site.home):
            run.base = base

    def _run(self, context: JobContext) -> RestoreRun:
        key = id(context)
        if key not in self._runs:
            self._runs[key] = RestoreRun(context, self._settings, self._keys, self._connectors)
        return self._runs[key]

    def _forget(self, context: JobContext) -> None:
        run = self._runs.pop(id(context), None)
        if run is not None:
            run.close()

    def _changing(self, step: Callable[[RestoreRun], None]) -> Step:
        """A step that has nothing to do when the two sites are the same."""
        work = self._blocking(step)

        async def run(context: JobContext) -> None:
            if context.state.get("nothing"):
                context.report(message="Nothing differs")
            else:
                await work(context)

        return run

    def _blocking(self, step: Callable[[RestoreRun], None]) -> Step:
        async def run(context: JobContext) -> None:
            await self._secret(context)
            await self._remember_base(context)
            await context.blocking(step, self._run(context))

        return run


def _login(visit: Visit, secret: dict[str, str]) -> tuple[str, str]:
    return secret.get(f"{visit.name}_username", ""), secret.get(f"{visit.name}_password", "")


async def _together(sides: Sequence[Awaitable[None]]) -> None:
    """Both sites at once. Raises what the first one raises, when all have ended: none works on behind a failure."""
    for outcome in await asyncio.gather(*sides, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _roll_back(run: RestoreRun) -> None:
    exchange.roll_back(run)


def _measure(run: RestoreRun) -> None:
    """How much room the way back takes, as the target says; not worth failing for."""
    try:
        mine = [found for found in run.writer.snapshots() if found.restore == run.snapshot_id]
    except JobError:
        return
    run.state["snapshot_bytes"] = sum(found.bytes for found in mine)
