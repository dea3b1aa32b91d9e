"""The steps of one job in the hands of one worker: run them, tell how far they are, remove what they made."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from shared import tracing
from shared.contract import streams
from shared.contract.events import JobEvent, now
from shared.contract.jobs import Note, Result, Step, StepState
from shared.contract.subjects import EventType
from shared.engine import metrics
from shared.engine.checkpoint import Checkpoint
from shared.engine.context import JobContext
from shared.engine.parts import NATS, OwnPartAway, Parts, Sight, nats_away, troubled
from shared.engine.records import unreachable
from shared.engine.settings import EngineSettings
from shared.engine.steps import StepSpec, Workflow, overall, reconciled
from shared.engine.token import Draining, StopToken
from shared.errors import JobError, LeaseLost
from shared.lifecycle import ended
from shared.log import get

log = get(__name__)
T = TypeVar("T")

PASSING = {"Nats-TTL": f"{streams.PASSING_AGE}s"}
FINISH = "finish"
"""Name under which failures of `Workflow.finish` are counted."""


class Attempt:
    """Runs a workflow's steps from where the checkpoint says. Knows nothing of messages, leases or schedules."""

    def __init__(
        self,
        workflow: Workflow,
        context: JobContext,
        checkpoint: Checkpoint,
        settings: EngineSettings,
        parts: Parts,
    ) -> None:
        self._workflow = workflow
        self._parts = parts
        self._begun: Sight = {}
        """Our parts when the steps began to run: what one step starts may fail in a later one."""
        self.context = context
        self._checkpoint = checkpoint
        self._settings = settings
        self._specs: Sequence[StepSpec] = workflow.steps(context.command)
        self._weights = {spec.name: spec.weight for spec in self._specs}
        self._telling = asyncio.Lock()
        self._stopping = asyncio.Event()
        checkpoint.steps = reconciled(self._specs, checkpoint.steps)

    @property
    def failed_in(self) -> str:
        """The step that was running."""
        return self.context.current.name if self.context.current else FINISH

    def max_tries(self, name: str) -> int:
        """How many temporary failures a step may have."""
        return next((spec.max_tries for spec in self._specs if spec.name == name), 3)

    def part_away(self, error: BaseException | None = None) -> str | None:
        """The part of ours that explains why what runs failed; None when all of them stood still and answered."""
        if isinstance(error, OwnPartAway):
            return error.part
        if nats_away(error):
            return NATS
        return troubled(self._begun, self._look())

    def _look(self) -> Sight:
        return self._parts.look(self.context.job_id)

    def stop(self, reason: type[JobError]) -> None:
        """Make the running step stop."""
        self.context.token.stop(reason)
        self._stopping.set()

    def begin(self) -> None:
        """The next step is running, as far as this process knows: whoever writes the checkpoint next makes it so."""
        for _, step in self._left():
            _begin(step)
            self.context.current = step
            return

    def _left(self) -> Iterator[tuple[StepSpec, Step]]:
        for spec, step in zip(self._specs, self._checkpoint.steps, strict=True):
            if step.state not in {StepState.DONE, StepState.SKIPPED}:
                yield spec, step

    async def run(self) -> Result:
        """Run what is left of the steps, and finish. The first of them was begun (`begin`), durably, and told.

        Raises whatever a step raises, or why the job must stop.
        """
        self._begun = self._look()
        telling = asyncio.create_task(self._tell_regularly())
        try:
            for spec, step in self._left():
                self.context.token.check()
                if step is not self.context.current:
                    await self._go_on_to(step)
                await self._run_step(spec, step)
            self.context.current = None
            result = await self._attended(self._workflow.finish(self.context))
            return self._complete(result)
        finally:
            await ended(telling)

    async def _go_on_to(self, step: Step) -> None:
        """One write and one event for the end of a step and the beginning of the next.

        Begun must be durable before the step has effects: its undo depends on it. Done need not be: a step that was
        done and is not known to be is run again, like one that was killed at its very end.
        """
        _begin(step)
        self.context.current = step
        await self.context.checkpoint()
        await self.tell()

    async def _run_step(self, spec: StepSpec, step: Step) -> None:
        """One step, and its span."""
        context, began, error = self.context, time.time(), ""
        context.step_trace = tracing.continued(context.trace)
        try:
            await self._carry_out(spec, step)
        except Exception as failure:
            error = str(getattr(failure, "code", "internal_error"))
            raise
        finally:
            tracing.tell(
                f"step {spec.name}",
                context.step_trace,
                below=context.trace,
                began=began,
                ended=time.time(),
                error=error,
                siteferry__job=context.job_id,
            )

    async def _carry_out(self, spec: StepSpec, step: Step) -> None:
        before = self._look()
        notes = list(self._checkpoint.notes)
        try:
            await self._attended(spec.run(self.context))
            if spec.proof and (away := troubled(before, self._look())):
                self._checkpoint.notes = notes  # what it found then says nothing
                raise OwnPartAway(away)
        except (LeaseLost, Draining):
            raise
        except Exception:
            step.state, step.finished_at = StepState.FAILED, now()
            raise
        step.state, step.finished_at = StepState.DONE, now()
        took = (step.finished_at - (step.started_at or step.finished_at)).total_seconds()
        metrics.STEP_SECONDS.labels(self.context.command.kind, spec.name).observe(took)
        if step.total is not None:
            step.done = step.total
        self._checkpoint.crashes, self._checkpoint.away_since = 1, None  # this delivery
        self.context.dirty = True  # told with what follows, or by itself should that take long

    async def _attended(self, work: Awaitable[T]) -> T:
        """Await work, but not longer than the grace period once the job was told to stop."""
        task = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=self._settings.stop_grace)
        finally:
            stopping.cancel()
            if not task.done():
                log.warning("a step did not stop when asked", job=self.context.job_id, step=self.failed_in)
                task.cancel()
                await asyncio.wait({task}, timeout=self._settings.stop_grace)
        try:
            return task.result()
        except (Exception, asyncio.CancelledError):
            self.context.token.check()  # whatever it raised: it was told to stop
            raise

    def _complete(self, result: Result) -> Result:
        steps = self._checkpoint.steps
        took = {
            step.name: round((step.finished_at - step.started_at).total_seconds(), 3)
            for step in steps
            if step.started_at and step.finished_at
        }
        codes = {note.code for note in result.notes}
        notes = [*result.notes, *(note for note in self.context.notes if note.code not in codes)]
        return result.model_copy(update={"notes": notes, "timings": took | result.timings})

    async def tell(self, event: EventType = EventType.PROGRESS, *, passing: bool = False, **update: Any) -> None:
        """Publish the job's state. Missing one does no harm: the next one is absolute too.

        `passing`: how far a step is, which the log keeps for an hour; the rest is the job's milestones.
        """
        async with self._telling:
            if self.context.token.reason is LeaseLost:
                return
            self.context.dirty = False
            known = self._checkpoint
            known.progress = max(known.progress, overall(known.steps, self._weights))
            command, current = self.context.command, self.context.current
            message = (current.message or self._title(current.name)) if current else ""
            job = known.job(command, now=now(), **{"message": message, **update})
            told = JobEvent(job_id=job.job_id, kind=job.type, lane=job.lane, type=event, job=job)
            try:
                trace = {tracing.HEADER: self.context.trace}
                await self.context.bus.publish(told, tries=2, headers=trace | PASSING if passing else trace)
            except Exception as error:
                if not unreachable(error):
                    raise
                log.debug("progress not told", job=job.job_id, error=repr(error))

    def _title(self, name: str) -> str:
        return next((spec.title for spec in self._specs if spec.name == name), name)

    async def _tell_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._settings.progress_interval)
            if self.context.dirty:
                await self.tell(passing=True)

    async def remove(self, token: StopToken) -> list[str]:
        """Undo every step that was begun, last first, and clean up. Returns what could not be removed.

        `token` is a fresh one: a cancelled job's removals are not cancelled. Raises LeaseLost or Draining.
        """
        self.context.token = token
        self._stopping = asyncio.Event()
        self.context.current = None
        left = []
        for spec, step in reversed(list(zip(self._specs, self._checkpoint.steps, strict=True))):
            if step.state is StepState.PENDING or spec.undo is None:
                continue
            if not await self._removed(spec.name, partial(spec.undo, self.context)):
                left.append(spec.name)
        if not await self._removed("cleanup", partial(self._workflow.cleanup, self.context)):
            left.append("cleanup")
        if left:
            self.context.note(Note(code="left_behind", message="Not everything could be removed", samples=left))
        return left

    async def _removed(self, name: str, removal: Callable[[], Awaitable[None]]) -> bool:
        clock = asyncio.get_running_loop().time
        tries, patience = 1, clock() + self._settings.removal_patience
        while tries <= self._settings.removal_tries:
            self.context.token.check()
            self._begun = self._look()
            try:
                await self._attended(removal())
            except (LeaseLost, Draining):
                raise
            except Exception as error:
                log.warning("removal failed", job=self.context.job_id, step=name, tries=tries, error=repr(error))
                if self.part_away(error) is None or clock() > patience:
                    tries += 1
            else:
                return True
            await asyncio.sleep(min(0.2 * 2**tries, 2.0))
        return False


def _begin(step: Step) -> None:
    step.state, step.started_at, step.finished_at = StepState.RUNNING, step.started_at or now(), None
