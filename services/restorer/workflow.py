"""A restore as the engine sees it: named steps with weights and removals, for each of its three actions."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from nats.errors import Error as NatsError
from pydantic import Field, TypeAdapter

from services.restorer import rebase
from services.restorer.errors import RestoreRolledBack
from services.restorer.run import BASE, PREFIX, Brief, RestoreRun, Secrets, at, step
from services.restorer.schedule import forget_discard, schedule_discard
from services.restorer.settings import RestorerSettings
from services.restorer.steps import exchange, plan, preflight, stage, verify, watch
from shared.bus import base_store
from shared.bus.connector_registry import Connectors
from shared.contract.events import Discarded, RestoreRequested, RolledBack
from shared.contract.jobs import Note, RestoreAction, RestorePlan, RestoreResult
from shared.contract.snapshot_discard import discard_of
from shared.contract.subjects import Kind
from shared.engine.carriers.carrier import Recipe
from shared.engine.carriers.pool import spare_account
from shared.engine.worker import JobContext, StepSpec
from shared.errors import JobError
from shared.log import get
from shared.secrets.vault import KeyRing
from shared.wordpress.entrance import KEYS, Entrance
from shared.wordpress.visit import Login

log = get(__name__)

KEPT = frozenset({KEYS, "expires_at", "watched_since", "broken"})
"""What of the job's memory its carrier neither sees nor changes."""
SENTENCES = TypeAdapter(list[Annotated[str, Field(max_length=4000)]])
TIMES = TypeAdapter(dict[Literal["rename_ms", "total_ms"], float])

Step = Callable[[JobContext], Awaitable[None]]


class RestoreWorkflow:
    """Compare, stage beside, prove, exchange at once, watch, leave; and the two ways out of it afterwards."""

    kind: Kind = "restore"

    def __init__(self, settings: RestorerSettings, keys: KeyRing, connectors: Connectors) -> None:
        self._settings = settings
        self._keys = keys
        self._connectors = connectors

    def steps(self, command: RestoreRequested) -> Sequence[StepSpec]:
        """The steps of one action."""
        entering = (
            StepSpec("sign_in", "Sign in", 4, self._sign_in),
            StepSpec("connector", "Install the connector", 6, self._enter, undo=self._leave),
        )
        leaving = StepSpec("remove_connector", "Remove the connector", 3, self._leave)
        if command.action is RestoreAction.ROLLBACK:
            back = StepSpec("rollback", "Roll back", 20, self._reading(exchange.roll_back_and_tell), max_tries=6)
            return (*entering, back, StepSpec("watch", "Look at the site", 6, self._look_again), leaving)
        if command.action is RestoreAction.DISCARD:
            return (*entering, StepSpec("discard", "Remove the snapshot", 10, self._discard), leaving)
        comparing = (
            StepSpec("preflight", "Inspect both sites", 4, self._reading(preflight.preflight)),
            StepSpec("plan", "Compare the two sites", 24, self._reading(plan.plan)),
        )
        if command.dry_run:
            return (*entering, *comparing, leaving)
        return (
            *entering,
            *comparing,
            StepSpec("snapshot", "Look at the site as it is", 3, self._changing(watch.remember)),
            StepSpec(
                "stage", "Stage rows", 22, self._changing(stage.stage_rows), undo=self._reading(exchange.drop_stage)
            ),
            StepSpec("files", "Stage files", 20, self._changing(stage.stage_files)),
            StepSpec("verify", "Verify what is staged", 8, self._changing(verify.verify)),
            StepSpec(
                "swap", "Exchange", 4, self._changing(exchange.swap), undo=self._reading(exchange.undo), max_tries=6
            ),
            StepSpec("watch", "Watch the site", 6, self._watch),
            leaving,
        )

    async def finish(self, context: JobContext) -> RestoreResult:
        """The result; schedules the end of the snapshot, or tells the snapshot's story how it ended."""
        command, state = _command(context), context.state
        expires_at = None
        if "swap" in state and command.action is RestoreAction.RESTORE:
            if "expires_at" not in state:
                state["expires_at"] = (datetime.now(UTC) + timedelta(hours=command.snapshot_hours)).isoformat()
                await context.checkpoint()
            expires_at = datetime.fromisoformat(state["expires_at"])
            await schedule_discard(context, command, at=expires_at)
        elif command.action is not RestoreAction.RESTORE:
            await self._tell(context, command)
        result = self._result(context, expires_at)
        await context.release()
        return result

    async def cleanup(self, context: JobContext) -> None:
        """After a failure or a cancel the undos have removed everything; only memory is left."""
        await context.release()

    def _result(self, context: JobContext, expires_at: datetime | None) -> RestoreResult:
        state, command = context.state, _command(context)
        swapped = state.get("swap", {})
        return RestoreResult(
            target_url=command.target_url,
            action=command.action,
            dry_run=command.dry_run,
            plan=RestorePlan.model_validate(state["plan"]) if "plan" in state else None,
            snapshot_id=_snapshot(context) if expires_at or command.action is not RestoreAction.RESTORE else None,
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
            notes=context.notes,
            timings=state.get("timings", {}),
        )

    # --- getting in and out

    async def _sign_in(self, context: JobContext) -> None:
        await self._secret(context)
        await _together([entrance.sign_in() for entrance in self._entrances(context)])

    async def _enter(self, context: JobContext) -> None:
        await self._secret(context)
        entering = [entrance.enter() for entrance in self._entrances(context)]
        await _together([*entering, self._fetch_base(context)])  # it is read while the sites install

    async def _leave(self, context: JobContext) -> None:
        with suppress(JobError):  # expired: the connectors can still remove themselves
            await self._secret(context)
        for name in ("source", "target"):
            await self._entrance(context, name).leave()

    async def _secret(self, context: JobContext) -> None:
        context.belonging(_Hand).secret = {name: str(value) for name, value in (await context.secret()).items()}

    def _entrances(self, context: JobContext) -> list[Entrance]:
        """The sites this job goes to."""
        both = ("target", "source") if _command(context).action is RestoreAction.RESTORE else ("target",)
        return [self._entrance(context, name) for name in both]

    def _entrance(self, context: JobContext, name: str) -> Entrance:
        url = _command(context).target_url if name == "target" else _command(context).source_url

        async def confined(function: Callable[..., Any], *arguments: Any) -> Any:
            return await self._confined(context, at, name, function, *arguments)

        return Entrance(context, self._connectors, self._keys, confined, name=name, url=url)

    # --- steps that also speak to the bus

    async def _watch(self, context: JobContext) -> None:
        state = context.state
        if state.get("nothing"):
            return
        await self._prepared(context)
        since = state.setdefault("watched_since", time.time() - 2)
        if not state.get("broken"):
            state["broken"] = SENTENCES.validate_python(await self._confined(context, watch.watch))
            await context.checkpoint()  # whoever takes over rolls back too, and says why
        found = state["broken"]
        if not found:
            await _together([self._confined(context, exchange.measure), self._rebase(context)])
            return
        said = SENTENCES.validate_python(await self._confined(context, watch.explained, since))
        done = TIMES.validate_python(await self._confined(context, exchange.roll_back_and_tell))
        # a dead site could not say it
        said = said or SENTENCES.validate_python(await self._confined(context, watch.explained, since))
        reason = f"{found[0]}{' (' + said[-1][:300] + ')' if said else ''}"
        event = RolledBack(job_id=context.job_id, lane=context.lane, snapshot_id=context.job_id, reason=reason)
        await context.bus.publish(event, msg_id=f"{context.job_id}:{context.attempt}:rolled_back")
        raise RestoreRolledBack(
            f"The site got worse, so everything is as it was before: {reason}.",
            findings=found[:10],
            php_errors=said,
            rename_ms=done["rename_ms"],
            total_ms=done["total_ms"],
        )

    async def _look_again(self, context: JobContext) -> None:
        """Say how the site is after a roll-back; remove what is not needed any more."""
        await self._prepared(context)
        failing = SENTENCES.validate_python(await self._confined(context, watch.failing))
        if failing:
            context.note(Note(code="pages_failing", message="Pages that fail after the roll-back", samples=failing))
        await self._confined(context, exchange.forget_stage)
        try:
            await rebase.go_back(context.bus, _snapshot(context))
        except (NatsError, TimeoutError, OSError) as error:
            log.warning("the base is not what it was", job=context.job_id, error=repr(error))

    async def _rebase(self, context: JobContext) -> None:
        """The next restore of this clone begins from here. Without it, it only asks more often."""
        clone_id = _command(context).clone_id
        if clone_id is None or await self._confined(context, rebase.pack_after) is not True:
            return
        try:
            await rebase.remember(context.bus, clone_id, context.job_id, context.belonging(_Hand).directory)
        except (NatsError, TimeoutError, OSError) as error:
            log.warning("the clone's base stays as it was", job=context.job_id, error=repr(error))

    async def _discard(self, context: JobContext) -> None:
        await self._prepared(context)
        if await self._confined(context, exchange.drop_snapshot) is not True:
            context.note(Note(code="snapshot_gone", message="The snapshot was not on the target any more"))
        with suppress(NatsError, TimeoutError):  # ends by itself
            await base_store.forget(context.bus, _snapshot(context))

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

    # --- carriers

    async def _prepared(self, context: JobContext) -> None:
        """What a step finds when it begins: the logins, and the clone's base."""
        await self._secret(context)
        await self._fetch_base(context)

    async def _fetch_base(self, context: JobContext) -> None:
        """What the site was when the clone was made, once, unread: any step may have to plan again.

        Without it all that production did since counts as the clone's: while NATS is away the job waits for it.
        """
        command, hand = _command(context), context.belonging(_Hand)
        if hand.base_asked or command.clone_id is None or command.action is not RestoreAction.RESTORE:
            return
        with tempfile.NamedTemporaryFile(dir=hand.directory.parent, prefix=PREFIX, delete=False) as file:
            path, found = Path(file.name), None
            try:
                found = await base_store.fetch(context.bus, command.clone_id, file)
            except base_store.DAMAGED as error:
                log.warning("the base can not be read", job=context.job_id, error=repr(error))
            finally:
                await asyncio.to_thread(_put, path, hand.directory / BASE if found else None)
        hand.base_asked = True

    async def _confined(self, context: JobContext, function: Callable[..., Any], *arguments: Any) -> Any:
        hand, settings = context.belonging(_Hand), self._settings
        logins = {name: hand.login(name) for name in ("source", "target")}
        keys = {name: self._entrance(context, name).key for name in ("source", "target")}

        async def make() -> Recipe:
            brief = Brief(
                hand.directory,
                settings.allow_private_sources,
                settings.connector_hours,
                settings.watch_seconds,
                settings.preserved_tables,
            )
            account = spare_account(context.job_id)
            if account is not None:
                os.chown(hand.directory, account.uid, account.gid)
            return Recipe("restore", RestoreRun, (brief,), account=account, writable=(str(hand.directory),), kept=KEPT)

        return await context.confined("restore", make, step, function, Secrets(logins, keys), *arguments)

    def _changing(self, function: Callable[[RestoreRun], Any]) -> Step:
        """A step that has nothing to do when the two sites are the same."""
        work = self._reading(function)

        async def run(context: JobContext) -> None:
            if context.state.get("nothing"):
                context.report(message="Nothing differs")
            else:
                await work(context)

        return run

    def _reading(self, function: Callable[[RestoreRun], Any]) -> Step:
        async def run(context: JobContext) -> None:
            await self._prepared(context)
            await self._confined(context, function)

        return run


class _Hand:
    """What the worker keeps of one restore while it has it."""

    def __init__(self) -> None:
        self.secret: dict[str, str] = {}
        self.base_asked = False
        self.directory = Path(tempfile.mkdtemp(prefix=PREFIX))

    async def close(self) -> None:
        """Forget the logins, remove the files."""
        self.secret = {}
        await asyncio.to_thread(shutil.rmtree, self.directory, ignore_errors=True)

    def login(self, name: str) -> Login:
        """The way into one of the sites; empty when it has expired."""
        known = self.secret.get
        password = known(f"{name}_basic_password")
        return Login(
            username=known(f"{name}_username", ""),
            password=known(f"{name}_password", ""),
            url=known(f"{name}_login_url"),
            elsewhere=_as_production(known("target_login_url")) if name == "source" else None,
            basic=(known(f"{name}_basic_username", ""), password) if password else None,
        )


def _as_production(url: str | None) -> str | None:
    """A clone hides its login page where production does; of production's address only the path counts there."""
    if url is None:
        return None
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))


def _put(file: Path, where: Path | None) -> None:
    """Move a file of ours to where a carrier may read it, or away."""
    if where is None:
        file.unlink()
    else:
        file.chmod(0o644)
        file.replace(where)


def _command(context: JobContext) -> RestoreRequested:
    assert isinstance(context.command, RestoreRequested)
    return context.command


def _snapshot(context: JobContext) -> str:
    """Id of the restore whose snapshot this job makes, goes back to, or removes."""
    return _command(context).snapshot_id or context.job_id


async def _together(sides: Sequence[Awaitable[Any]]) -> None:
    """Both sites at once. Raises what the first one raises, when all have ended: none works on behind a failure."""
    for outcome in await asyncio.gather(*sides, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
