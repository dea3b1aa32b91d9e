"""One sweep: look at everything, decide by the log, remove under the job's lease, report."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from nats.errors import Error as NatsError
from nats.js.errors import APIError

from services.cloner import metrics
from services.cloner.drivers.port import Provisioner
from services.cloner.images import ImageLimits, surplus
from services.cloner.sweeper import snapshots, verdict
from services.cloner.sweeper.log import Log, entries, told
from services.cloner.sweeper.report import Finding, Outcome, Report, What
from services.cloner.sweeper.sources import Sources
from services.cloner.sweeper.verdict import Action, Known, Rules, Verdict
from shared.bus import base_store
from shared.bus.connection import Bus
from shared.bus.pull import direct
from shared.contract import streams
from shared.contract.events import Expire, now
from shared.contract.jobs import Clone, CloneState
from shared.contract.snapshot_discard import discard_of
from shared.engine.lease import Lease, leases
from shared.engine.records import Records
from shared.engine.settings import EngineSettings
from shared.engine.token import StopToken
from shared.errors import JobError, LeaseLost
from shared.ids import is_job_id
from shared.log import get

log = get(__name__)

LEASE = "sweeper"
LEASE_SECONDS = 30
RENEW = 8.0
TROUBLE = (JobError, OSError, NatsError, APIError, TimeoutError, ValueError)
"""What may go wrong about one thing without keeping the sweep from the others."""

Judge = Callable[[Known], Verdict]
Remove = Callable[[], Awaitable[None]]


class Busy(Exception):
    """Another cloner sweeps right now."""


class Sweeper:
    """Looks for what was left behind. One sweep at a time over all replicas."""

    def __init__(
        self, bus: Bus, driver: Provisioner, sources: Sources, *, grace: timedelta, images: ImageLimits | None = None
    ) -> None:
        self._bus = bus
        self._driver = driver
        self._limits = images or ImageLimits()
        self._sources = sources
        self._log = Log(bus)
        self._rules = Rules(grace=grace, keep_failed=timedelta(seconds=EngineSettings().keep_failed_secret))
        self._records = {name: Records(bus, name) for name in (streams.CHECKPOINTS, streams.VAULT)}
        self._report = Report()

    async def sweep(self, *, dry_run: bool = False) -> Report:
        """Raises Busy, LeaseLost, or nats errors when NATS is away at the beginning."""
        token, began = StopToken(), time.monotonic()
        lease = Lease(leases(self._bus), LEASE, self._bus.source, LEASE_SECONDS, token)
        if not await lease.take():
            raise Busy
        renewing = asyncio.create_task(_renew(lease, token))
        self._report = Report(dry_run=dry_run)
        try:
            await self._jobs(token)
            await self._connectors(token)
            await self._snapshots(token)
            await self._states()
            await self._images()
        finally:
            renewing.cancel()
            with suppress(NatsError, TimeoutError):
                await lease.release()
        self._report.seconds = round(time.monotonic() - began, 3)
        _tell(self._report)
        return self._report

    # --- what belongs to one job: its place, its login, its checkpoint, its base

    async def _jobs(self, token: StopToken) -> None:
        places = set(await asyncio.to_thread(self._driver.ids))
        clones = await self._ending_clones()
        checkpoints = await entries(self._bus, streams.CHECKPOINTS)
        logins = await entries(self._bus, streams.VAULT)
        kept = await base_store.stored(self._bus)
        promised = snapshots.promised(await snapshots.active(self._bus))
        seen: dict[What, int] = {"place": len(places), "checkpoint": len(checkpoints), "login": len(logins)}
        self._report.looked_at = {**seen, "base": len(kept)}
        for job_id in sorted(filter(is_job_id, places | clones | set(checkpoints) | set(logins) | set(kept))):
            token.check()
            wanted: dict[What, Judge] = {}
            rules: dict[str, Any] = {"rules": self._rules, "now": now()}
            if job_id in places or job_id in clones:
                wanted["place"] = partial(verdict.place if job_id in places else verdict.overdue, **rules)
            if job_id in checkpoints:
                wanted["checkpoint"] = partial(verdict.checkpoint, stored_at=checkpoints[job_id], **rules)
            if job_id in logins:
                judge = verdict.promised if job_id in promised else verdict.secret
                wanted["login"] = partial(judge, stored_at=logins[job_id], **rules)
            if job_id in kept:
                wanted["base"] = partial(verdict.base, stored_at=kept[job_id], **rules)
            await self._job(job_id, wanted)

    async def _ending_clones(self) -> set[str]:
        """Clones whose end the projection says is due: a hint, their stories decide."""
        found = set()
        reading = direct(self._bus.nc, f"KV_{streams.CLONES}", seq=1, subject=f"$KV.{streams.CLONES}.>")
        async with aclosing(reading) as messages:
            async for msg in messages:
                clone = told(Clone, msg)
                if clone is None or clone.state is CloneState.DELETED:
                    continue
                if clone.state is CloneState.DELETING or (clone.expires_at is not None and clone.expires_at < now()):
                    found.add(clone.clone_id)
        return found

    async def _job(self, job_id: str, wanted: dict[What, Judge]) -> None:
        try:
            found = self._judged(await self._log.known(job_id), wanted)
        except TROUBLE as error:
            log.warning("a job could not be judged", job=job_id, error=repr(error))
            return
        if not found:
            return
        if self._report.dry_run or all(decision.action is Action.UNKNOWN for decision in found.values()):
            for what, decision in found.items():
                self._found(what, job_id, decision, "left" if decision.action is Action.UNKNOWN else "found")
            return
        await self._under_lease(job_id, wanted)

    def _judged(self, known: Known, wanted: dict[What, Judge]) -> dict[What, Verdict]:
        found = {what: judge(known) for what, judge in wanted.items()}
        return {what: decision for what, decision in found.items() if decision.action is not Action.KEEP}

    async def _under_lease(self, job_id: str, wanted: dict[What, Judge]) -> None:
        """No worker can begin the job while we hold its lease; what was true before we had it is asked again."""
        lease = Lease(leases(self._bus), job_id, self._bus.source, LEASE_SECONDS, StopToken())
        try:
            if not await lease.take():
                return
            try:
                known = await self._log.known(job_id)
                free = replace(known, in_hands=False)  # in our own
                for what, decision in self._judged(free, wanted).items():
                    await self._carry_out(what, job_id, decision, free, lease)
            finally:
                await lease.release()
        except TROUBLE as error:
            log.warning("a job could not be swept", job=job_id, error=repr(error))

    async def _carry_out(self, what: What, job_id: str, decision: Verdict, known: Known, lease: Lease) -> None:
        outcome: Outcome = "removed"
        try:
            if decision.action is Action.UNKNOWN:
                outcome = "left"
            elif decision.action is Action.EXPIRE:
                what, outcome = "clone", "expired"
                await self._expire(known)
            elif what == "place":
                await _holding(lease, asyncio.to_thread(self._driver.destroy, job_id))
            elif what == "base":
                await base_store.forget(self._bus, job_id)
            else:
                await self._drop(streams.CHECKPOINTS if what == "checkpoint" else streams.VAULT, job_id)
        except TROUBLE as error:
            self._found(what, job_id, decision, "failed", error)
        else:
            self._found(what, job_id, decision, outcome)

    async def _expire(self, known: Known) -> None:
        """The way every clone ends: the log says so, the expiry removes it and tells."""
        assert known.job is not None
        message = Expire(job_id=known.job.job_id, lane=known.job.lane)
        await self._bus.publish(message, msg_id=f"{message.job_id}:overdue:{known.job.seq}")

    async def _drop(self, bucket: str, job_id: str) -> None:
        records = self._records[bucket]
        entry = await records.get(job_id)
        if entry is not None:
            await records.drop(job_id, revision=entry.revision)

    # --- connectors, which several jobs may share

    async def _connectors(self, token: StopToken) -> None:
        found = await entries(self._bus, streams.CONNECTORS)
        self._report.looked_at["connector"] = len(found)
        for name, stored_at in sorted(found.items()):
            token.check()
            try:
                await self._connector(name, stored_at)
            except TROUBLE as error:
                log.warning("a connector could not be judged", entry=name, error=repr(error))

    async def _connector(self, name: str, stored_at: datetime) -> None:
        decision, revision, home = await self._sources.judge(name, stored_at, self._log.known, self._rules, now())
        if decision.action is Action.KEEP:
            return
        if decision.action is Action.UNKNOWN or self._report.dry_run:
            self._found("connector", home, decision, "left" if decision.action is Action.UNKNOWN else "found")
            return
        held = await self._sources.take(name, revision)
        if held is None:
            return
        try:
            await self._sources.remove(*held)
            await self._sources.forget(name)
        except TROUBLE as error:
            self._found("connector", home, decision, "failed", error)
            await self._sources.release(name)
        else:
            self._found("connector", home, decision, "removed")

    # --- snapshots, which are on production

    async def _snapshots(self, token: StopToken) -> None:
        found = await snapshots.active(self._bus)
        self._report.looked_at["snapshot"] = len(found)
        for restore_id, snapshot in sorted(found.items()):
            token.check()
            if snapshot.expires_at is not None and snapshot.expires_at < now():
                try:
                    await self._snapshot(restore_id)
                except TROUBLE as error:
                    log.warning("a snapshot could not be judged", snapshot=restore_id, error=repr(error))

    async def _snapshot(self, restore_id: str) -> None:
        restore = await self._log.known(restore_id)
        decision = verdict.snapshot(restore, await self._log.known(discard_of(restore_id)), self._rules, now())
        if decision.action is Action.KEEP:
            return
        if decision.action is Action.UNKNOWN or self._report.dry_run:
            self._found("snapshot", restore_id, decision, "left" if decision.action is Action.UNKNOWN else "found")
            return
        await snapshots.discard(self._bus, restore)
        self._found("snapshot", restore_id, decision, "expired")

    # --- states of clones, half made: a worker that is killed while it keeps one leaves what it had

    async def _states(self) -> None:
        states = self._driver.states
        if states is None:
            return
        try:
            half = await asyncio.to_thread(states.sweep, dry_run=self._report.dry_run)
        except TROUBLE as error:
            log.warning("states of clones could not be swept", error=repr(error))
            return
        for name in half:
            decision = Verdict(Action.REMOVE, "it was never made whole, or is half removed")
            self._found("state", name, decision, "found" if self._report.dry_run else "removed")

    # --- images of sources, which belong to no job

    async def _images(self) -> None:
        images = self._driver.images
        if images is None:
            return
        try:
            every = await asyncio.to_thread(images.all)
            gone = {one.id: "its time is up, or there are too many" for one in surplus(every, **asdict(self._limits))}
            gone |= {one: "it was never made whole" for one in await asyncio.to_thread(images.orphans)}
        except TROUBLE as error:
            log.warning("images could not be judged", error=repr(error))
            return
        self._report.looked_at["image"] = len(every)
        for name, why in gone.items():
            decision = Verdict(Action.REMOVE, why)
            if self._report.dry_run:
                self._found("image", name, decision, "found")
                continue
            try:
                await asyncio.to_thread(images.drop, name)
            except TROUBLE as error:
                self._found("image", name, decision, "failed", error)
            else:
                self._found("image", name, decision, "removed")

    def _found(
        self, what: What, name: str, decision: Verdict, outcome: Outcome, error: BaseException | None = None
    ) -> None:
        words = "" if error is None else str(error) or type(error).__name__
        self._report.findings.append(Finding(what=what, id=name, why=decision.why, outcome=outcome, error=words))
        log.info(
            "left behind", what=what, id=name, why=decision.why, outcome=outcome, **({"error": words} if words else {})
        )


async def _renew(lease: Lease, token: StopToken) -> None:
    while True:
        await asyncio.sleep(RENEW)
        try:
            await lease.renew()
        except LeaseLost:
            token.stop(LeaseLost)
            return
        except (NatsError, TimeoutError) as error:
            log.debug("the sweep's lease was not renewed", error=repr(error))


async def _holding(lease: Lease, work: Awaitable[None]) -> None:
    """Wait for work that may take longer than the lease lasts."""
    renewing = asyncio.create_task(_renew(lease, lease.token))
    try:
        await work
    finally:
        renewing.cancel()


def _tell(report: Report) -> None:
    outcomes: defaultdict[str, int] = defaultdict(int)
    for finding in report.findings:
        outcomes[finding.outcome] += 1
        if not report.dry_run:
            metrics.SWEPT.labels(finding.what, finding.outcome).inc()
    if not report.dry_run:
        metrics.LEFT.set(outcomes["left"] + outcomes["failed"])
        metrics.SECONDS.set(report.seconds)
        metrics.SWEPT_AT.set_to_current_time()
    looked_at = {f"{what}s": number for what, number in report.looked_at.items()}
    log.info("swept", dry_run=report.dry_run, seconds=report.seconds, **looked_at, **outcomes)
