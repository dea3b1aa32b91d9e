"""A clone made of a clone: its files and rows as they are now, with an id, an address, keys and a login of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from services.cloner.commands import command_of
from services.cloner.drivers.port import Provisioner
from services.cloner.errors import StatesNotOffered
from services.cloner.made import made
from services.cloner.states import StateJobs
from services.cloner.steps import finalize
from shared.contract.jobs import CloneResult, Note
from shared.engine.context import JobContext
from shared.engine.worker import StepSpec
from shared.secrets.vault import KeyRing


class Forks:
    """Steps of jobs that make a clone of a clone."""

    def __init__(self, driver: Provisioner, keys: KeyRing, states: StateJobs, *, resets: bool) -> None:
        """`resets`: what the fork is when it is made is kept, too."""
        self._driver = driver
        self._keys = keys
        self._states = states
        self._resets = resets

    def steps(self) -> Sequence[StepSpec]:
        """Of every fork."""
        return (
            StepSpec("provision", "Prepare the clone's place", 10, self._provision, undo=self._destroy),
            StepSpec("copy", "Copy files and tables", 60, self._copy),
            StepSpec("finalize", "Configure the clone", 20, self._finalize),
            StepSpec("keep", "Keep what it is", 10, self._keep),
        )

    async def finish(self, context: JobContext) -> CloneResult:
        """The result; schedules the end of the clone's life."""
        state, url = context.state, self._driver.place(context.job_id).url
        held = {name: state[name] for name in ("files", "bytes", "tables")}
        return await made(context, url, **held, media=state.get("media", "copy"))

    async def _provision(self, context: JobContext) -> None:
        if self._driver.states is None:
            raise StatesNotOffered
        await context.blocking(self._driver.ensure, context.job_id)

    async def _destroy(self, context: JobContext) -> None:
        await asyncio.to_thread(self._driver.destroy, context.job_id)

    async def _copy(self, context: JobContext) -> None:
        states, command = self._driver.states, command_of(context)
        assert states is not None
        kept = await context.blocking(states.kept, command.clone_id or "")
        await self._states.claim(context, 2 * max((state.bytes for state in kept), default=0))
        check = context.token.check
        state, config = await context.blocking(states.fork, command.clone_id or "", context.job_id, check=check)
        context.state.update(files=state.files, bytes=state.bytes, tables=state.tables)
        context.state["wordpress_path"] = config.wordpress_path
        context.state["media"] = "copy" if config.media is None else "remote"
        await context.blocking(self._driver.place(context.job_id).write_config, config)

    async def _finalize(self, context: JobContext) -> None:
        state = context.state
        secret: dict[str, Any] = await context.secret()
        password = self._open(context, state["password"]) if "password" in state else finalize.new_password()
        context.hide(password)
        state["username"], state["password"] = secret["username"], self._keys.seal(password, purpose=context.job_id)
        await context.checkpoint()  # known before it exists, so that another worker sets the same again
        target = self._driver.place(context.job_id)
        await context.blocking(target.make_administrator, state["username"], password, finalize.EMAIL)
        text = "A fork does not know what its source was: a restore can not tell its changes from those of production"
        context.note(Note(code="base_missing", message=text))

    async def _keep(self, context: JobContext) -> None:
        if self._resets:
            await self._states.keep_made(context, context.state["bytes"])

    def _open(self, context: JobContext, sealed: str) -> str:
        return self._keys.open(sealed, purpose=context.job_id)
