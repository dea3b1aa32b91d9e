"""Jobs about a clone that is there: it becomes what it was, or what it is becomes a version.

One step each: a driver does it whole, under a lock of the clone, and a worker that takes over begins it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from services.cloner.commands import command_of
from services.cloner.domain import check_space
from services.cloner.drivers.port import KeptState, Provisioner, States
from services.cloner.errors import STOPS, NotEnoughSpace, StatesNotOffered, TooManyVersions
from shared.contract.events import CloneRequested
from shared.contract.jobs import CloneAction, Note, StateResult
from shared.contract.states import MADE, MOST_VERSIONS, is_version
from shared.engine.context import JobContext
from shared.engine.worker import StepSpec
from shared.errors import JobError
from shared.log import get

log = get(__name__)


class StateJobs:
    """Steps of jobs with an `action`."""

    def __init__(self, driver: Provisioner) -> None:
        self._driver = driver

    def steps(self, command: CloneRequested) -> Sequence[StepSpec]:
        """The one step."""
        if command.action is CloneAction.RESET:
            return (StepSpec("reset", "Put the clone back to what it was", 100, self._reset, undo=self._settle),)
        return (StepSpec("keep", "Keep what the clone is", 100, self._keep),)

    async def finish(self, context: JobContext) -> StateResult:
        """What was kept or put back."""
        command, state = command_of(context), context.state
        return StateResult(
            clone_id=command.clone_id or "",
            clone_url=command.source_url,
            state=command.state or MADE,
            state_made_at=datetime.fromisoformat(state["made_at"]),
            files=state["files"],
            bytes=state["bytes"],
            tables=state["tables"],
            notes=context.notes,
        )

    async def keep_made(self, context: JobContext, needed: int) -> None:
        """Of a clone that has just been made: keep what it is, so that it can be reset. A note says when that failed;
        the clone is as good as any. `needed`: bytes it takes. Raises only what stops the job."""
        states = self._driver.states
        if states is None:
            return
        try:
            check_space(needed, await self._free(context))
            check = context.token.check
            await context.blocking(states.keep, context.job_id, MADE, facts={}, check=check, durable=False)
        except STOPS:
            raise
        except (JobError, OSError) as error:
            log.warning("a clone was not kept as it was made", clone=context.job_id, error=repr(error))
            text = "What the clone was when it was made could not be kept, so it can not be reset"
            context.note(Note(code="no_reset", message=text, samples=[str(error)[:300]]))

    async def _reset(self, context: JobContext) -> None:
        command, states = command_of(context), self.states()
        clone_id, name = command.clone_id or "", command.state or MADE
        kept = {state.name: state for state in await context.blocking(states.kept, clone_id)}
        if name in kept:
            await self.claim(context, kept[name].bytes)
        context.report(message="Preparing what the clone was, then exchanging it")
        state, left = await context.blocking(states.put_back, clone_id, name, check=context.token.check)
        self._remember(context, state)
        note_left_out(context, left)

    async def _keep(self, context: JobContext) -> None:
        command, states = command_of(context), self.states()
        clone_id, name = command.clone_id or "", command.state or ""
        kept = {state.name: state for state in await context.blocking(states.kept, clone_id)}
        if name not in kept:
            if sum(map(is_version, kept)) >= MOST_VERSIONS:
                raise TooManyVersions(
                    f"The clone has {MOST_VERSIONS} versions already, which is as many as there may be."
                )
            await self.claim(context, max((state.bytes for state in kept.values()), default=0))
        context.report(message="Copying files and tables")
        check = context.token.check
        state = await context.blocking(states.keep, clone_id, name, facts={}, check=check, durable=True)
        self._remember(context, state)

    async def _settle(self, context: JobContext) -> None:
        """Failed or cancelled in the middle: the clone is what it was, or wholly what it should be."""
        if self._driver.states is not None:
            await asyncio.to_thread(self._driver.states.settle, command_of(context).clone_id or "")

    async def claim(self, context: JobContext, needed: int) -> None:
        """Keep room for so many bytes. Raises NotEnoughSpace, NoSpace."""
        free = await self._free(context)
        if needed > free:
            text = f"Keeping or putting back a state of {needed:,} bytes needs as much room; {free:,} bytes are free."
            raise NotEnoughSpace(text, needed_bytes=needed, free_bytes=free)
        await context.claim(needed, lambda: self._free(context))

    async def _free(self, context: JobContext) -> int:
        return (await context.blocking(self._driver.capacity)).free_bytes

    def states(self) -> States:
        """Of the driver. Raises StatesNotOffered."""
        states = self._driver.states
        if states is None:
            raise StatesNotOffered
        return states

    @staticmethod
    def _remember(context: JobContext, state: KeptState) -> None:
        context.state.update(made_at=state.made_at, files=state.files, bytes=state.bytes, tables=state.tables)


def note_left_out(context: JobContext, left: Sequence[str]) -> None:
    """Name what an exchange could not make again, if there is any."""
    if left:
        text = "Views, triggers or routines that could not be made again"
        context.note(Note(code="definitions_left_out", message=text, count=len(left), samples=list(left[:20])))
