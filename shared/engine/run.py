"""One delivery of one job's message, from lease to acknowledgement.

The order of writes is what makes every instant safe to die at: first the decision into the checkpoint (fenced), then
its announcement on the stream (with a message id, so that repeating it changes nothing), then the acknowledgement.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from nats.aio.msg import Msg
from pydantic import ValidationError

from shared import tracing
from shared.contract.events import (
    CloneRequested,
    Command,
    Message,
    RestoreRequested,
    Retry,
    changed,
    decode,
)
from shared.contract.jobs import ErrorInfo
from shared.contract.subjects import TERMINAL, EventType, parse
from shared.engine import metrics, parking
from shared.engine.attempt import Attempt
from shared.engine.checkpoint import Checkpoint, Ending, Verdict, judge
from shared.engine.ending import conclude, end, settle
from shared.engine.held import Held, Shop
from shared.engine.limits import Full
from shared.engine.parts import missing
from shared.engine.records import unreachable
from shared.engine.room import NoRoom, NoSpace, Places, Room
from shared.engine.story import Story
from shared.engine.strange import leave_to_newer, refuse
from shared.engine.token import Draining
from shared.errors import Cancelled, JobError, LeaseLost, Temporary
from shared.lifecycle import ended
from shared.log import bind, get

log = get(__name__)

REFUSED_PLACE = 100
"""In the line, of a job that was let begin and then found no room: it comes back seldom, for it began in vain."""
LOOKS = (0.05, 0.2, 0.5)
"""Seconds between looks for a cancel that was sent but perhaps not stored; storing takes milliseconds."""


class JobRun:
    """A message in our hands."""

    def __init__(self, shop: Shop, delivery: Msg) -> None:
        self._shop = shop
        self._delivery = delivery
        kind, self._event, lane, self.job_id = parse(delivery.subject)
        self._seq = delivery.metadata.sequence.stream
        self._story = Story(shop.bus, kind, lane, self.job_id)
        self._held = Held(shop, kind, lane, self.job_id)
        self._looking: asyncio.Task[None] | None = None
        self._below: str | None = None
        """`traceparent` of what this delivery belongs to: the call that asked for it."""

    def stop(self, reason: type[JobError]) -> None:
        """Make the job stop: it was cancelled, or the worker drains."""
        self._held.stop(reason)

    @property
    def tenant(self) -> str | None:
        """Whose job it is; None before that is known."""
        command = getattr(self._held, "command", None)
        return None if command is None else command.tenant

    def look_for_cancel(self) -> None:
        """A cancel may be stored in a moment: look sooner than at the next beat."""
        self._looking = asyncio.create_task(self._look_soon(), name=f"cancel of {self.job_id}?")

    async def _look_soon(self) -> None:
        for pause in LOOKS:
            await asyncio.sleep(pause)
            with suppress(Exception):  # the next beat asks again
                await self._look_for_cancel()

    async def handle(self) -> None:
        """Until the message is acknowledged, handed back, or not ours any more. Raises nothing."""
        beating = asyncio.create_task(self._beat())
        try:
            await self._handle()
        except LeaseLost:
            if not self._held.store.written and not self._held.lease.revision:  # somebody took it at the same moment
                with suppress(Exception):
                    await self._held.let_go()
                    await self._leave()
                return
            metrics.LEASES_LOST.labels(self._held.about["kind"]).inc()
            log.warning("another worker has the job", job=self.job_id)
            with suppress(Exception):
                await self._held.let_go()
        except Draining:
            await self._hand_back()
        except Exception as error:
            if not unreachable(error):
                log.exception("a job could not be handled", job=self.job_id)
            with suppress(Exception):
                await self._held.let_go()
                await self._delivery.nak(delay=2.0)
        finally:
            await ended(beating)
            await self._held.end_carriers()

    # --- what the message means

    async def _handle(self) -> None:
        held = self._held
        if not await self._take():
            await self._leave()
            return
        held.leased = True
        try:
            message = decode(self._event, self._delivery.data)
            found = await self._command(message)
        except ValidationError as error:
            await refuse(held, error)
            await self._acknowledge()
            return
        if message is None or found is None:
            log.error("a message about a job that never was", job=self.job_id, subject=self._delivery.subject)
            await self._acknowledge()
            return
        held.command, requested_at = found
        self._below = (self._delivery.headers or {}).get(tracing.HEADER) or self._story.trace
        held.trace = tracing.continued(self._below)
        bind(tenant=held.command.tenant, trace_id=tracing.trace_id(held.trace))
        try:
            known = None if self._story.new else await held.store.load()
        except ValidationError as error:
            if await leave_to_newer(held, self._story, self._delivery, error):
                await self._acknowledge()
            return
        if known is not None and known.held_for and await held.store.held():  # taken since `_take` looked
            await held.let_go()
            await self._leave()
            return
        held.known = known or await self._begin(requested_at, message)
        held.command = changed(held.command, held.known.changes)
        await self._find_end(message)
        await (self._cancel() if self._event is EventType.CANCEL else self._proceed(message))
        await self._acknowledge()

    async def _take(self) -> bool:
        """Make sure that nobody else works on the job; False when somebody does.

        A job that nobody has begun is taken by its first checkpoint, which can be written once: `Held.take_over`.
        """
        if self._event is EventType.REQUESTED and self._delivery.metadata.num_delivered == 1:
            if await self._story.is_new():
                return True
        return not await self._held.store.held() and await self._held.lease.take()

    async def _leave(self) -> None:
        """It is another worker's: ask again soon."""
        await self._delivery.nak(delay=min(1.0, self._held.settings.ack_wait / 4))

    async def _command(self, message: Message | None) -> tuple[Command, int] | None:
        """The job's command and its sequence: this delivery, or what the log holds."""
        if isinstance(message, CloneRequested | RestoreRequested):
            return message, self._seq
        return await self._story.command()

    async def _find_end(self, message: Message) -> None:
        """The checkpoint of a job that completed says how it was to end; that it did is told by the log."""
        known = self._held.known
        if known.ending is None or known.ending.event is not EventType.COMPLETED or known.ended is not None:
            return
        ended = await self._story.completed_at(known.attempt)
        if ended is not None:
            again = isinstance(message, Retry) and message.manual and self._seq > ended
            await settle(self._held, ended, again=again)

    async def _begin(self, requested_at: int, message: Message) -> Checkpoint:
        """A job without a checkpoint: new, or so old that only the stream remembers it."""
        known = Checkpoint(since=requested_at)
        if self._story.new or (self._event is EventType.REQUESTED and await self._story.is_new()):
            return known
        last = await self._story.last_event()
        if last is not None:
            event, seq = last
            known.fence, known.attempt = event.job.fence, max(1, event.job.attempt)
            if event.job.error is not None:
                known.history = event.job.error.details.get("history", [])
            if event.type in TERMINAL:
                known.ended = seq
        if isinstance(message, Retry) and not message.manual:
            known.attempt, known.ticket = max(known.attempt, message.attempt), message.ticket
        return known

    async def _cancel(self) -> None:
        """A cancel that reached us before the job did, or between two of its attempts."""
        known = self._held.known
        if known.ended is not None or self._seq <= known.since:
            return
        known.ending = known.ending or Ending(event=EventType.CANCELLED)
        known.crashes += 1
        self._held.claim()
        await self._held.take_over()
        await conclude(self._held)

    async def _proceed(self, message: Message) -> None:
        held, known = self._held, self._held.known
        verdict = judge(known, message, self._seq)
        if verdict is Verdict.ECHO:
            await parking.repeat(held)
            return
        if verdict is Verdict.NEW_LIFE:
            known = held.known = Checkpoint(
                attempt=known.attempt + 1,
                since=self._seq,
                fence=known.fence,
                history=known.history,
                changes=known.changes | (message.changes if isinstance(message, Retry) else {}),
            )
            held.command = changed(held.command, known.changes)
        elif known.parked is not None and isinstance(message, Retry) and message.manual:
            known.ticket += 1  # what was scheduled becomes an echo
        known.parked = None
        if known.crashes:
            metrics.TAKEOVERS.labels(held.about["kind"]).inc()
        known.crashes += 1
        known.ending = known.ending or await self._foregone()
        held.claim()
        if known.ending is None:
            await self._work()
            return
        await held.take_over()
        await conclude(held)

    async def _foregone(self) -> Ending | None:
        """How the job ends before it has begun: cancelled meanwhile, or poison."""
        known, settings = self._held.known, self._held.settings
        if not self._story.new and await self._story.cancelled_at() > known.since:
            return Ending(event=EventType.CANCELLED)
        delivered = self._delivery.metadata.num_delivered
        if known.crashes <= settings.poison_cap and delivered <= settings.max_deliveries:
            return None
        poison = ErrorInfo(
            code="poison",
            message=f"The worker died {known.crashes - 1} times at this point of the job.",
            hint="Look at the workers' logs and memory limits; then retry the job.",
        )
        self._held.remember(poison)
        return Ending(event=EventType.FAILED, error=poison)

    async def _work(self) -> None:
        held = self._held
        if held.known.away_since is not None and (away := missing(self._shop.parts.look(self.job_id))):
            await parking.wait_for_part(held, away)
            return
        full = await held.permits.acquire()
        if full is None and self._shop.room is not None and held.command.makes_room:
            full = await self._reserve(self._shop.room)
        if full is None and held.settings.fair:
            full = await held.permits.share(self._shop.slots, self._shop.queue, guest=self._shop.crowded())
        if full is not None:
            await parking.wait(held, full)
            return
        if held.known.ticket:
            await held.permits.leave_line()
        attempt = held.prepare()
        attempt.begin()
        held.known.waiting_for = ""  # it is told that it runs: should it wait again, that is told again
        await held.take_over()
        began, outcome = time.time(), "interrupted"
        try:
            outcome = await self._run(attempt)
        finally:
            self._trace(began, outcome)

    async def _run(self, attempt: Attempt) -> str:
        """The attempt, told to its end; what came of it."""
        held = self._held
        try:
            await attempt.tell(EventType.STARTED)
            result = await attempt.run()
        except (LeaseLost, Draining):
            raise
        except Cancelled:
            await end(held, EventType.CANCELLED)
            return "cancelled"
        except Exception as error:
            await self._failed(attempt, error)
            return str(getattr(error, "code", "internal_error"))
        await end(held, EventType.COMPLETED, result=result)
        return "completed"

    def _trace(self, began: float, outcome: str) -> None:
        """This attempt as a span."""
        held = self._held
        tracing.tell(
            f"{held.command.kind} job",
            held.trace,
            below=self._below,
            began=began,
            ended=time.time(),
            role="consumer",
            error="" if outcome in {"completed", "cancelled", "interrupted"} else outcome,
            siteferry__job=held.job_id,
            siteferry__tenant=held.command.tenant,
            siteferry__lane=held.command.lane,
            siteferry__attempt=held.known.attempt,
            siteferry__outcome=outcome,
        )

    async def _reserve(self, room: Room) -> Full | None:
        """A place for what the job makes. Who can not tell how many there are finds out when the job makes it."""

        async def look() -> Places | None:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._shop.threads, room.places)
            except Exception as error:
                log.warning("the places can not be counted", job=self.job_id, error=repr(error))
                return None

        return None if await look() is None else await self._held.permits.reserve(look, self._shop.queue)

    async def _failed(self, attempt: Attempt, error: Exception) -> None:
        """What a failure means: nothing, while a part of ours was away; else what it says."""
        held = self._held
        if isinstance(error, NoRoom):
            scope = held.permits.space if isinstance(error, NoSpace) else held.permits.quota
            await parking.wait(held, Full(scope, REFUSED_PLACE))
            return
        decided = isinstance(error, JobError) and error.decided
        if not decided and (away := attempt.part_away(error)):
            await parking.wait_for_part(held, away, error)
        elif isinstance(error, Temporary):
            await parking.again_or_fail(held, error)
        elif isinstance(error, JobError):
            await end(held, EventType.FAILED, error=held.explain(error))
        else:
            await parking.again_or_fail(held, held.unexpected(error))

    # --- letting go, staying alive

    async def _acknowledge(self) -> None:
        await self._held.let_go()
        await self._delivery.ack()

    async def _hand_back(self) -> None:
        """Another worker continues at once; neither a crash nor an attempt is counted."""
        held = self._held
        with suppress(Exception):
            held.known.crashes = max(0, held.known.crashes - 1)
            await held.end_carriers()
            held.give_away()
            await held.store.write(held.known)
            await held.let_go()
            await self._delivery.nak()
            metrics.HANDED_BACK.labels(held.about["kind"]).inc()
            log.info("handed back", job=self.job_id)

    async def _beat(self) -> None:
        """Lease first, then the message: a worker that lost its lease must not keep the message from its successor."""
        while True:
            await asyncio.sleep(self._shop.settings.heartbeat)
            try:
                await self._held.renew()
                await self._delivery.in_progress()
                self._shop.alive()
                await self._look_for_cancel()
            except LeaseLost:
                self._held.stop(LeaseLost)
                return
            except Exception as error:
                if not unreachable(error):
                    log.exception("heartbeat failed", job=self.job_id)

    async def _look_for_cancel(self) -> None:
        """Ask the stream, for a cancel that did not reach us directly."""
        known = self._held.known
        if known.since and await self._story.cancelled_at() > known.since:
            self._held.stop(Cancelled)
