"""What is due becomes a job (ADR 57).

Every step may come twice and in any gateway. Whoever takes a firing claims it in the schedule's record, at the revision
it has read: the instant, and the id of the job to be made. Who finds a claim nobody finished makes that very job. So an
instant gives one job, however often it is told and whoever dies.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nats.aio.msg import Msg
from nats.js.errors import KeyWrongLastSequenceError

from services.gateway import domain
from services.gateway.access import Principal
from services.gateway.audit_actions import Action
from services.gateway.edge import Edge, active_clone
from services.gateway.problems import UNAVAILABLE, Problem
from services.gateway.routes.states import login_of, refreshing, refuse_while_busy
from services.gateway.routes.submit import clone_command, store
from services.gateway.schedules.owner import owner
from services.gateway.schedules.record import STOPPING, Run, Schedule, ScheduleState, Skipped, Wish
from services.gateway.schedules.store import Entry, Kept, NotTaken
from shared import tracing
from shared.bus.pull import PAUSE, Feed, place
from shared.contract.events import CloneRequested, now
from shared.contract.jobs import CloneAction
from shared.contract.timetable import SCHEDULER, TIMETABLE
from shared.ids import new_id
from shared.log import get
from shared.secrets.vault import SecretGone

log = get(__name__)

AT_ONCE = 16
"""Firings one gateway works on at the same time."""
POISON = 20
"""Deliveries after which a firing is given up: it fails for a reason of ours that does not pass."""
AGAIN = 5.0
"""Seconds until a firing comes again that went wrong."""
LOOK_EVERY = 30.0
COMPARE_EVERY = 20
"""Looks between two comparisons of all schedules with what the server has."""
GRACE = timedelta(seconds=60)
"""How late a firing may be before it counts as missed."""


@dataclass
class _Known:
    """A schedule as it was last seen, and the first time nobody has looked at."""

    schedule: Schedule
    due: datetime


class Scheduler:
    """Makes the jobs of all schedules; one in every gateway."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._store = edge.schedules
        self._room = asyncio.Semaphore(AT_ONCE)
        self._known: dict[Entry, _Known] = {}
        self._seq = 0
        self._looks = 0

    async def run(self) -> None:
        """For ever, whatever NATS does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="schedules")
            while True:
                try:
                    await self._serve(group)
                except UNAVAILABLE as error:
                    log.debug("can not hear what is due now", error=repr(error))
                    await asyncio.sleep(PAUSE)

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        feed = Feed(self._edge.bus.nc, TIMETABLE, SCHEDULER)
        async with aclosing(feed.batches()) as batches:
            async for messages in batches:
                for message in messages:
                    group.create_task(self._safely(message), name="firing")

    # --- one firing

    async def _safely(self, msg: Msg) -> None:
        _, _, token, schedule_id = msg.subject.split(".")
        at = datetime.fromtimestamp(place(msg).stored_at, UTC)
        wait: float | None = None
        try:
            async with self._room:
                await self.fire((token, schedule_id), at)
        except Problem as problem:  # too much at once for its key or tenant
            wait = float(problem.headers.get("Retry-After", AGAIN))
        except UNAVAILABLE as error:
            log.warning("a schedule's job waits for NATS", schedule=schedule_id, error=repr(error))
            wait = AGAIN
        except Exception as error:  # one schedule's trouble must not stop the others
            log.error("a schedule's job can not be made", schedule=schedule_id, exc_info=error)
            wait = None if msg.metadata.num_delivered >= POISON else AGAIN
        with suppress(*UNAVAILABLE):  # what is not answered comes again
            await (msg.ack() if wait is None else msg.nak(delay=wait))

    async def fire(self, entry: Entry, at: datetime) -> None:
        """Do what was due last at this moment, unless that has been done.

        Raises a 429 problem when the key or tenant must wait, nats errors.
        """
        while True:
            kept = await self._store.at(entry)
            if kept is None:
                await self._store.unplan(entry)
                return
            try:
                if (claimed := await self._claim(kept, at)) is not None:
                    await self._make(claimed)
            except KeyWrongLastSequenceError:  # another gateway, or somebody who changed it, was quicker
                continue
            return

    async def _claim(self, kept: Kept, at: datetime) -> Kept | None:
        """The schedule with the job to be made; None where none is to be. Raises as `fire`, and
        KeyWrongLastSequenceError."""
        schedule = kept.schedule
        if schedule.state is not ScheduleState.ACTIVE:
            return None
        due_at = schedule.plan.latest(at)
        if due_at <= schedule.served:
            return kept if schedule.unfinished else None
        principal = await self._owner(schedule)
        if principal is None:
            await self._skip(kept, due_at, Skipped.KEY_ENDED)
            return None
        if (hindered := await self._hindrance(schedule, principal)) is not None:
            await self._skip(kept, due_at, hindered)
            return None
        await self._edge.take(principal)
        run = Run(due_at=due_at, job_id=new_id("clone"))
        return await self._store.change(kept, schedule.model_copy(update={"run": run}))

    async def _make(self, kept: Kept) -> None:
        """Store the claimed job, then that it is stored."""
        schedule, run = kept.schedule, kept.schedule.run
        assert run is not None
        principal = await self._owner(schedule)
        if principal is not None and await self._edge.store.job(run.job_id) is None:
            wish = schedule.wish
            lane = domain.lane_for(wish.priority, principal.lane) or principal.lane
            assert lane is not None
            command, login = (
                clone_command(wish, run.job_id, lane, principal, schedule_id=schedule.id),
                self._login(schedule),
            )
            if wish.clone_id is not None:
                command, login = await self._refreshing(command, login, wish)
            traceparent = tracing.continued(None)
            async with self._recorded(principal, schedule, run.job_id, traceparent):
                await store(self._edge, command, login, traceparent)
            log.info("a schedule's job is made", schedule=schedule.id, job=run.job_id, due_at=run.due_at.isoformat())
        done = {"run": run.model_copy(update={"stored": True}), "sealed": self._sealed_anew(schedule)}
        await self._store.change(kept, schedule.model_copy(update=done))

    def _recorded(
        self, principal: Principal, schedule: Schedule, job_id: str, traceparent: str
    ) -> AbstractAsyncContextManager[None]:
        return self._edge.audit.on_behalf(
            principal,
            Action.SCHEDULE_FIRE,
            [schedule.id, job_id, *filter(None, [schedule.wish.clone_id])],
            which=f"record-{job_id.rpartition('-')[2]}",
            trace_id=tracing.trace_id(traceparent),
        )

    async def _hindrance(self, schedule: Schedule, principal: Principal) -> Skipped | None:
        """Why no job can be made now."""
        if schedule.run is not None and await self._is_going(schedule.run.job_id):
            return Skipped.OVERLAP
        if (clone_id := schedule.wish.clone_id) is None:
            return None
        try:
            await refuse_while_busy(self._edge, await active_clone(self._edge, principal, clone_id))
        except Problem as problem:
            return Skipped.OVERLAP if problem.code == "clone_busy" else Skipped.CLONE_GONE
        return None

    async def _refreshing(
        self, command: CloneRequested, login: dict[str, str] | None, wish: Wish
    ) -> tuple[CloneRequested, dict[str, str] | None]:
        """The command of a refresh, and what the vault is to hold. Has the clone gone since, or its password, the job
        is there to say so."""
        assert wish.clone_id is not None
        clone = await self._edge.store.clone(wish.clone_id)
        about: dict[str, Any] = {"action": CloneAction.REFRESH, "clone_id": wish.clone_id, "ttl_minutes": 0}
        if clone is not None:
            about |= {"name": clone.name, **await refreshing(self._edge, clone, overwrite=wish.overwrite)}
            try:
                login = login and {**login, **login_of(self._edge, clone, "clone_")}
            except Problem as problem:
                log.error("a clone's password can not be opened", clone=wish.clone_id, reason=problem.code)
                login = None
        return command.model_copy(update=about), login

    def _login(self, schedule: Schedule) -> dict[str, str] | None:
        """What the vault is to hold; None when no key opens it any more: the job then fails with `secret_gone`."""
        try:
            login: dict[str, str] = self._edge.vault.opened(schedule.sealed, purpose=schedule.id)
        except SecretGone:
            log.error("the login of a schedule can not be opened; replace the schedule", schedule=schedule.id)
            return None
        return login

    def _sealed_anew(self, schedule: Schedule) -> str:
        """By the first key of the file, so that an older one can be dropped in time."""
        login = self._login(schedule)
        return schedule.sealed if login is None else self._edge.vault.sealed(login, purpose=schedule.id)

    async def _skip(self, kept: Kept, due_at: datetime, code: Skipped) -> None:
        schedule = kept.schedule
        job_id = schedule.run.job_id if schedule.run and code is Skipped.OVERLAP else None
        skipped = schedule.skipped(due_at, code, job_id)
        if code in STOPPING:
            skipped.stopped = code
        await self._store.change(kept, skipped)
        if code in STOPPING:
            await self._store.unplan(schedule.entry)
        log.warning("a schedule made no job", schedule=schedule.id, reason=code, going=job_id)

    async def _is_going(self, job_id: str) -> bool:
        job = await self._edge.store.job(job_id)
        return job is not None and not job.status.terminal

    async def _owner(self, schedule: Schedule) -> Principal | None:
        return await owner(self._edge.callers, schedule, keys_needed=self._edge.settings.keys_needed)

    # --- what nobody fired for

    async def _follow(self) -> None:
        while True:
            try:
                await self.look(now())
            except UNAVAILABLE as error:
                log.debug("can not look after schedules now", error=repr(error))
            except Exception as error:  # what is due by itself must go on
                log.error("can not look after schedules", exc_info=error)
            await asyncio.sleep(LOOK_EVERY)

    async def look(self, at: datetime) -> None:
        """Fire for what was missed, once however much that was, and put right what the server has.

        A nats-server that is killed forgets what was due while it was away; a stream may be lost. Raises nats errors.
        """
        compare = self._looks % COMPARE_EVERY == 0
        planned = await self._store.planned() if compare else {}  # before the records: those are stored first
        await self._read_changes()
        if compare:
            await self._put_right(planned)
        self._looks += 1
        for entry, known in self._known.items():
            if known.due <= at - GRACE and known.schedule.state is ScheduleState.ACTIVE:
                log.info("a schedule's time was missed", schedule=known.schedule.id, since=known.due.isoformat())
                await self._store.fire(entry)

    async def _read_changes(self) -> None:
        head = await self._store.head()
        if head < self._seq:  # the bucket was made anew
            self._known, self._seq = {}, 0
        changes = await self._store.changed(self._seq + 1) if head > self._seq else []
        for seq, entry, schedule in changes:
            self._seq = max(seq, self._seq)
            self._known.pop(entry, None)
            if schedule is not None and (due := _next_due(schedule)) is not None:
                self._known[entry] = _Known(schedule, due)
            await asyncio.sleep(0)

    async def _put_right(self, planned: dict[Entry, tuple[str, str]]) -> None:
        for entry, known in self._known.items():
            schedule, active = known.schedule, known.schedule.state is ScheduleState.ACTIVE
            if active and planned.get(entry) != (schedule.pattern, schedule.timezone):
                await self._replan(schedule)
            elif not active and entry in planned:
                await self._store.unplan(entry)
        for entry in planned.keys() - self._known.keys():
            await self._store.unplan(entry)

    async def _replan(self, schedule: Schedule) -> None:
        try:
            await self._store.plan(schedule)
        except NotTaken as error:
            log.error("nats-server does not take a schedule", schedule=schedule.id, field=str(error))


def _next_due(schedule: Schedule) -> datetime | None:
    """The first time nobody has looked at, or has not been seen to finish; None when it can not be told."""
    try:
        unfinished = schedule.run.due_at if schedule.run is not None and schedule.unfinished else None
        return unfinished or schedule.plan.following(schedule.served)
    except (ValueError, KeyError) as error:  # its time zone is not known here any more
        log.error("nobody can tell when a schedule is due", schedule=schedule.id, error=repr(error))
        return None
