"""One delivery of one job's message, from lease to acknowledgement.

The order of writes is what makes every instant safe to die at: first the decision into the checkpoint (fenced), then
its announcement on the stream (with a message id, so that repeating it changes nothing), then the acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nats.aio.msg import Msg
from pydantic import ValidationError

from shared.bus import Bus
from shared.engine.attempt import Attempt
from shared.engine.checkpoint import Checkpoint, CheckpointStore, Ending, Parked, Verdict, judge, parked_job
from shared.engine.context import JobContext
from shared.engine.lease import Lease, leases
from shared.engine.limits import Full, Permits
from shared.engine.records import Conflict, Records, unreachable
from shared.engine.retry import backoff, wait_delay
from shared.engine.settings import EngineSettings
from shared.engine.steps import Workflow
from shared.engine.story import Story
from shared.engine.token import Draining, StopToken
from shared.errors import Cancelled, JobError, LeaseLost, Temporary
from shared.events import CloneRequested, JobEvent, Message, Retry, decode, now
from shared.jobs import CloneResult, ErrorInfo, Job, Status
from shared.log import get
from shared.streams import VAULT
from shared.subjects import TERMINAL, EventType, parse
from shared.vault import Vault

log = get(__name__)

STATUS = {
    EventType.COMPLETED: Status.COMPLETED,
    EventType.FAILED: Status.FAILED,
    EventType.CANCELLED: Status.CANCELLED,
}
MESSAGES = {EventType.COMPLETED: "Done", EventType.CANCELLED: "Cancelled"}
EVERYTHING = "everything"
"""Named as left behind when the removals themselves kill their workers: then the sweeper has to do it."""
HISTORY = 50
"""Failed attempts remembered."""


@dataclass(frozen=True)
class Shop:
    """What all runs of a worker share."""

    bus: Bus
    vault: Vault
    workflow: Workflow
    settings: EngineSettings
    owner: str
    alive: Callable[[], None]
    """Called whenever a heartbeat got through."""


class JobRun:
    """A message in our hands."""

    def __init__(self, shop: Shop, delivery: Msg) -> None:
        self._shop = shop
        self._delivery = delivery
        self.kind, self.event, self.lane, self.job_id = parse(delivery.subject)
        self._seq = delivery.metadata.sequence.stream
        self._story = Story(shop.bus, self.kind, self.lane, self.job_id)
        self._token = StopToken()
        self._lease = Lease(leases(shop.bus), self.job_id, shop.owner, shop.settings.lease_ttl, self._token)
        self._store = CheckpointStore(shop.bus, self.job_id, self._lease_holds)
        self._leased = False
        self._permits: Permits | None = None
        self._attempt: Attempt | None = None
        self._known = Checkpoint()
        self._command: CloneRequested | None = None

    def stop(self, reason: type[JobError]) -> None:
        """Make the job stop: it was cancelled, its lease is lost, or the worker drains."""
        if reason is Cancelled and self._known.ending is not None:
            return  # too late: it has ended, what is left is removal and telling
        self._token.stop(reason)
        if self._attempt is not None:
            self._attempt.stop(reason)

    async def handle(self) -> None:
        """Until the message is acknowledged, handed back, or not ours any more. Raises nothing."""
        beating = asyncio.create_task(self._beat())
        try:
            await self._handle()
        except LeaseLost:
            log.warning("another worker has the job", job=self.job_id)
            with suppress(Exception):
                await self._give_up()  # only what is still ours
        except Draining:
            await self._hand_back()
        except Exception as error:
            if not unreachable(error):
                log.exception("a job could not be handled", job=self.job_id)
            with suppress(Exception):
                await self._give_up()
                await self._delivery.nak(delay=2.0)
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating

    # --- what the message means

    async def _handle(self) -> None:
        if not await self._lease.take():
            await self._delivery.nak(delay=min(1.0, self._shop.settings.ack_wait / 4))
            return
        self._leased = True
        try:
            message = decode(self.event, self._delivery.data)
            found = await self._story.command()
        except ValidationError as error:
            await self._refuse(error)
            return
        if message is None or found is None:
            log.error("a message about a job that never was", job=self.job_id, subject=self._delivery.subject)
            await self._acknowledge()
            return
        self._command, requested_at = found
        known = await self._store.load()
        self._known = known or await self._begin(requested_at, message)
        if self.event is EventType.CANCEL:
            await self._cancel()
        else:
            await self._proceed(message)

    async def _refuse(self, error: ValidationError) -> None:
        """A command no version of ours has written: the job ends, visibly."""
        wrong = sorted({".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)})
        info = ErrorInfo(code="invalid_command", message="The command can not be read.", details={"fields": wrong})
        job = Job(
            job_id=self.job_id,
            type=self.kind,
            lane=self.lane,
            status=Status.FAILED,
            error=info,
            message=info.message,
            attempt=1,
            fence=self._lease.fence,
            created_at=now(),
            updated_at=now(),
            finished_at=now(),
        )
        await self._publish(EventType.FAILED, job, msg_id=f"{self.job_id}:1:terminal")
        await self._acknowledge()

    async def _begin(self, requested_at: int, message: Message) -> Checkpoint:
        """A job without a checkpoint: new, or so old that only the stream remembers it."""
        known = Checkpoint(since=requested_at)
        if self.event is EventType.REQUESTED and await self._story.is_new():
            return known
        last = await self._story.last_event()
        if last is not None:
            event, seq = last
            known.fence, known.attempt = event.job.fence, max(1, event.job.attempt)
            if event.type in TERMINAL:
                known.ended = seq
        if isinstance(message, Retry) and not message.manual:
            known.attempt, known.ticket = max(known.attempt, message.attempt), message.ticket
        return known

    async def _cancel(self) -> None:
        """A cancel that reached us before the job did, or between two of its attempts."""
        if self._known.ended is None and self._seq > self._known.since:
            self._known.ending = self._known.ending or Ending(event=EventType.CANCELLED)
            self._known.crashes += 1
            await self._take_over()
            await self._conclude()
        await self._acknowledge()

    async def _proceed(self, message: Message) -> None:
        known = self._known
        verdict = judge(known, message, self._seq)
        if verdict is Verdict.ECHO:
            await self._repeat_parking()
            await self._acknowledge()
            return
        if verdict is Verdict.NEW_LIFE:
            known = self._known = Checkpoint(
                attempt=known.attempt + 1, since=self._seq, fence=known.fence, history=known.history
            )
        elif known.parked is not None and isinstance(message, Retry) and message.manual:
            known.ticket += 1  # what was scheduled becomes an echo
        known.parked = None
        if known.ending is None and await self._story.cancelled_at() > known.since:
            known.ending = Ending(event=EventType.CANCELLED)
        known.crashes += 1
        if known.ending is None and self._poisonous():
            known.ending = Ending(event=EventType.FAILED, error=self._poison())
        await self._take_over()
        if known.ending is not None:
            await self._conclude()
        else:
            await self._work()
        await self._acknowledge()

    def _poisonous(self) -> bool:
        settings = self._shop.settings
        delivered = self._delivery.metadata.num_delivered
        return self._known.crashes > settings.poison_cap or delivered > settings.max_deliveries

    def _poison(self) -> ErrorInfo:
        return ErrorInfo(
            code="poison",
            message=f"The worker died {self._known.crashes - 1} times at this point of the job.",
            hint="Look at the workers' logs and memory limits; then retry the job.",
        )

    async def _take_over(self) -> None:
        """From here on older workers can not write the checkpoint, and their events are not believed."""
        known = self._known
        known.fence = self._lease.fence = max(self._lease.fence, known.fence + 1)
        self._lease.attempt = known.attempt
        known.started_at = known.started_at or now()
        await self._store.write(known)

    # --- doing it

    async def _work(self) -> None:
        assert self._command is not None
        self._permits = Permits(
            self._shop.bus,
            self._command,
            self._shop.settings.limits,
            ttl=self._shop.settings.lease_ttl,
            since=self._known.since,
        )
        full = await self._permits.acquire()
        if full is not None:
            await self._wait(full)
            return
        if self._known.ticket:
            await self._permits.leave_line()
        attempt = self._prepare()
        try:
            await attempt.tell(EventType.STARTED)
            result = await attempt.run()
        except (LeaseLost, Draining):
            raise
        except Cancelled:
            await self._end(EventType.CANCELLED)
        except Temporary as error:
            await self._again_or_fail(error)
        except JobError as error:
            await self._end(EventType.FAILED, error=self._info(error))
        except Exception as error:
            await self._again_or_fail(self._unknown(error))
        else:
            await self._end(EventType.COMPLETED, result=result)

    def _prepare(self) -> Attempt:
        assert self._command is not None
        shop = self._shop
        context = JobContext(
            command=self._command,
            checkpoint=self._known,
            store=self._store,
            token=self._token,
            bus=shop.bus,
            vault=shop.vault,
        )
        self._attempt = Attempt(shop.workflow, context, self._known, shop.settings)
        return self._attempt

    # --- parking: the job waits for a schedule of its own

    async def _again_or_fail(self, error: Temporary) -> None:
        assert self._attempt is not None
        known, settings, step = self._known, self._shop.settings, self._attempt.failed_in
        known.tries[step] = known.tries.get(step, 0) + 1
        info = self._info(error)
        if known.tries[step] >= self._attempt.max_tries(step):
            await self._end(EventType.FAILED, error=info)
            return
        self._remember(info, step)
        delay = backoff(
            known.tries[step], base=settings.retry_base, cap=settings.retry_cap, retry_after=error.retry_after
        )
        known.attempt, known.ticket, known.crashes = known.attempt + 1, 0, 0
        known.parked = Parked(
            event=EventType.RETRYING,
            at=now() + timedelta(seconds=delay),
            message=f"{error.message} Trying again in {delay:.0f} s." if delay >= 1 else error.message,
            error=info,
        )
        await self._park(tell=True)

    async def _wait(self, full: Full) -> None:
        assert self._permits is not None
        known, settings = self._known, self._shop.settings
        delay = wait_delay(full.place, step=settings.wait_step, least=settings.wait_min, most=settings.wait_max)
        await self._permits.stand_in_line(full, delay)
        told, known.waiting_for = known.waiting_for, full.scope.why
        known.ticket, known.crashes = known.ticket + 1, 0
        known.parked = Parked(event=EventType.WAITING, at=now() + timedelta(seconds=delay), message=full.scope.why)
        await self._park(tell=told != full.scope.why)

    async def _park(self, *, tell: bool) -> None:
        await self._store.write(self._known)
        await self._repeat_parking(tell=tell)

    async def _repeat_parking(self, *, tell: bool = True) -> None:
        """Say that the job waits and set its schedule; repeating either changes nothing."""
        known = self._known
        if known.parked is None or known.ended is not None:
            return
        assert self._command is not None
        mark = f"{self.job_id}:{known.attempt}.{known.ticket}"
        if tell:
            job = parked_job(known, self._command, now=now())
            await self._publish(known.parked.event, job, msg_id=f"{mark}:{known.parked.event}")
        wake = Retry(**self._about(), attempt=known.attempt, ticket=known.ticket, reason=known.parked.event)
        await self._shop.bus.schedule(
            wake, slot=EventType.SCHEDULE_RETRY, at=known.parked.at, msg_id=f"{mark}:schedule"
        )

    # --- ending

    async def _end(
        self, event: EventType, *, error: ErrorInfo | None = None, result: CloneResult | None = None
    ) -> None:
        if error is not None:
            self._remember(error, self._attempt.failed_in if self._attempt else "")
        self._known.ending = Ending(event=event, error=error, result=result)
        await self._store.write(self._known)
        await self._conclude()

    async def _conclude(self) -> None:
        """Carry out a decided ending, from wherever an earlier worker got to."""
        known = self._known
        ending = known.ending
        assert ending is not None
        assert self._command is not None
        if ending.event is not EventType.COMPLETED:
            await self._remove_everything()
        job = known.job(self._command, now=now(), **self._final(ending))
        ack = await self._publish(ending.event, job, msg_id=f"{self.job_id}:{known.attempt}:terminal")
        await self._forget_secret(ending)
        known.ended, known.state = ack, {}
        await self._store.write(known)
        await self._shop.bus.unschedule(Retry(**self._about(), attempt=0), slot=EventType.SCHEDULE_RETRY)
        if self._permits is not None:
            await self._permits.leave_line()
        log.info(f"job {ending.event}", job=self.job_id, attempt=known.attempt)

    async def _remove_everything(self) -> None:
        attempt = self._attempt or self._prepare()
        draining = self._token.reason is Draining
        self._token = StopToken()
        self._lease.renewed_for(self._token)
        if draining:
            self._token.stop(Draining)
        hopeless = self._known.crashes > 2 * self._shop.settings.poison_cap
        left = [EVERYTHING] if hopeless else await attempt.remove(self._token)
        assert self._known.ending is not None
        if left and self._known.ending.error is not None:
            self._known.ending.error.details["left_behind"] = left

    def _final(self, ending: Ending) -> dict[str, Any]:
        error = ending.error
        if error is not None and self._known.history:
            error.details["history"] = self._known.history
        return {
            "status": STATUS[ending.event],
            "progress": 100.0 if ending.event is EventType.COMPLETED else self._known.progress,
            "message": error.message if error else MESSAGES[ending.event],
            "finished_at": now(),
            "result": ending.result,
            "error": error,
        }

    async def _forget_secret(self, ending: Ending) -> None:
        assert self._command is not None
        reference, keep = self._command.secret_ref, self._shop.settings.keep_failed_secret
        if ending.event is EventType.FAILED and keep > 0:
            await self._keep_secret(reference, int(keep))
        else:
            await self._shop.vault.forget(reference)

    async def _keep_secret(self, reference: str, seconds: int) -> None:
        """A failed job can be retried for a while, then its credentials are gone. Sealed all the time."""
        records = Records(self._shop.bus, VAULT)
        sealed = await records.get(reference)
        if sealed is not None and sealed.value:
            with suppress(Conflict):
                await records.write(reference, sealed.value, last=sealed.revision, ttl=seconds)

    # --- small things

    def _about(self) -> dict[str, Any]:
        return {"job_id": self.job_id, "kind": self.kind, "lane": self.lane}

    async def _publish(self, event: EventType, job: Job, *, msg_id: str) -> int:
        self._lease_holds()
        ack = await self._shop.bus.publish(JobEvent(**self._about(), type=event, job=job), msg_id=msg_id)
        return ack.seq

    def _remember(self, error: ErrorInfo, step: str) -> None:
        failure = {
            "attempt": self._known.attempt,
            "step": step,
            "code": error.code,
            "message": error.message,
            "time": now().isoformat(timespec="seconds"),
        }
        self._known.history = [*self._known.history, failure][-HISTORY:]

    def _lease_holds(self) -> None:
        if self._token.reason is LeaseLost:
            raise LeaseLost

    async def _acknowledge(self) -> None:
        await self._give_up()
        await self._delivery.ack()

    async def _hand_back(self) -> None:
        """Another worker continues at once; neither a crash nor an attempt is counted."""
        with suppress(Exception):
            self._known.crashes = max(0, self._known.crashes - 1)
            await self._store.write(self._known)
            await self._give_up()
            await self._delivery.nak()
            log.info("handed back", job=self.job_id)

    async def _give_up(self) -> None:
        """Let go of lease and permits, so that nobody waits for them."""
        if self._permits is not None:
            await self._permits.release()
        if self._leased:
            self._leased = False
            await self._lease.release()

    # --- staying alive

    async def _beat(self) -> None:
        """Lease first, then the message: a worker that lost its lease must not keep the message from its successor."""
        while True:
            await asyncio.sleep(self._shop.settings.heartbeat)
            try:
                if self._leased:
                    await self._lease.renew()
                    if self._permits is not None:
                        await self._permits.renew()
                await self._delivery.in_progress()
                self._shop.alive()
                await self.look_for_cancel()
            except LeaseLost:
                self.stop(LeaseLost)
                return
            except Exception as error:
                if not unreachable(error):
                    log.exception("heartbeat failed", job=self.job_id)

    async def look_for_cancel(self) -> None:
        """Ask the stream, for a cancel that did not reach us directly. Raises nats errors when NATS is away."""
        if self._known.since and await self._story.cancelled_at() > self._known.since:
            self.stop(Cancelled)

    # --- errors

    def _info(self, error: JobError) -> ErrorInfo:
        assert self._attempt is not None
        details = json.loads(self._attempt.context.scrub(json.dumps(error.details, default=str)))
        message = self._attempt.context.scrub(error.message)
        return ErrorInfo(code=error.code, message=message, hint=error.hint, details=details)

    def _unknown(self, error: Exception) -> Temporary:
        """An error nobody foresaw: told with an id under which the log has the traceback, not with its own text."""
        assert self._attempt is not None
        incident = f"{int(time.time()):x}-{secrets.token_hex(3)}"
        trace = self._attempt.context.scrub("".join(traceback.format_exception(error)))
        log.error("unexpected error", job=self.job_id, incident=incident, exception=trace)
        return Unexpected(hint=f"The log says more under {incident}.", incident=incident)


class Unexpected(Temporary):
    """Something unexpected went wrong."""

    code = "internal_error"
