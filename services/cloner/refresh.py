"""A clone becomes what its source is now: a new copy is made beside it, proved, and exchanged for what the clone holds.

The copy has the job's id and place, and names the clone's address. Until the exchange the clone is what it was; from
then on the exchange is completed, whoever dies. See docs/adr/0058.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from services.cloner.commands import command_of
from services.cloner.constants import OWN_ADDRESS
from services.cloner.drivers.port import Provisioner, SiteConfig, Target
from services.cloner.errors import CloneEdited
from services.cloner.images import reused
from services.cloner.states import StateJobs, note_left_out
from services.cloner.steps.edits import BASE, edits
from shared.bus import base_store
from shared.contract.edits import Edits
from shared.contract.jobs import CloneAction, Note, RefreshResult
from shared.contract.states import is_version
from shared.engine.context import JobContext
from shared.engine.worker import StepSpec
from shared.secrets.vault import KeyRing
from shared.wordpress.found import believed


class Reads(Protocol):
    """Runs a step in a carrier that is confined to another place than the job's."""

    async def __call__(self, context: JobContext, target: Target, function: Callable[..., Any]) -> Any: ...


class Refresh:
    """What jobs that refresh a clone do beside what every clone's job does."""

    def __init__(
        self,
        driver: Provisioner,
        keys: KeyRing,
        states: StateJobs,
        *,
        resets: bool,
        reads: Reads,
        leaves: Callable[[JobContext], Awaitable[None]],
        destroys: Callable[[JobContext], Awaitable[None]],
    ) -> None:
        """`resets`: what the clone is afterwards is kept, too. `leaves` removes the connector, `destroys` the copy."""
        self._driver = driver
        self._keys = keys
        self._jobs = states
        self._resets = resets
        self._reads = reads
        self._leaves = leaves
        self._destroys = destroys

    def steps(self, making: Sequence[StepSpec]) -> Sequence[StepSpec]:
        """`making`: the steps of every clone."""
        looking, copying = making[:3], making[3:-1]
        return (
            *looking,
            StepSpec("edits", "Look for what was edited", 5, self._edits),
            *copying,
            StepSpec("exchange", "Exchange it for what the clone holds", 10, self._exchange, undo=self._settle),
            StepSpec("remove_connector", "Remove the connector and the copy", 2, self._leave),
        )

    async def finish(self, context: JobContext) -> RefreshResult:
        """What came, and what went."""
        state, command = context.state, command_of(context)
        return RefreshResult(
            clone_id=command.clone_id or "",
            clone_url=command.target_url,
            refreshed_at=datetime.fromisoformat(state["copied_from"]),
            overwritten=Edits.model_validate(state["edits"]),
            files=state["received"]["files"],
            bytes=state["received"]["size"],
            tables=state["totals"]["tables"],
            rows=state["rows"],
            reused=reused(state),
            notes=context.notes,
        )

    def config(self, context: JobContext, config: SiteConfig) -> SiteConfig:
        """The configuration of the job's own place: a copy that is to be exchanged answers at its own address."""
        if command_of(context).action is not CloneAction.REFRESH:
            return config
        url = self._driver.place(context.job_id).url
        addresses = (url, f"{url}/{config.wordpress_path}".rstrip("/"))
        return replace(config, constants={**config.constants, **dict(zip(OWN_ADDRESS, addresses, strict=True))})

    async def _edits(self, context: JobContext) -> None:
        await self._look(context)
        secret = await context.secret()
        context.state["username"] = secret["clone_username"]
        context.state["password"] = self._keys.seal(secret["clone_password"], purpose=context.job_id)

    async def _look(self, context: JobContext) -> None:
        """Note what was edited. Raises CloneEdited when there is something, and it may not go."""
        command, states = command_of(context), self._jobs.states()
        target = await context.blocking(states.to_read, command.clone_id or "")
        try:
            await self._put_base(context, target)
            said = believed(Edits, await self._reads(context, target, edits))
        finally:
            await context.release(EDITS)
            await context.blocking(shutil.rmtree, target.records, ignore_errors=True)
        if not command.overwrite and (said.rows or said.files or said.tables or not said.known):
            raise CloneEdited(told(said), **said.model_dump(mode="json"))
        context.state["edits"] = said.model_dump(mode="json")

    async def _put_base(self, context: JobContext, target: Target) -> None:
        """What the clone was, where the carrier finds it."""
        path = target.records / BASE
        with await context.blocking(path.open, "xb") as base:
            found = await base_store.fetch(context.bus, command_of(context).clone_id or "", base)
        path.chmod(0o644)  # below a folder of the clone's own account
        if found is None:
            path.unlink()

    async def _exchange(self, context: JobContext) -> None:
        command, states = command_of(context), self._jobs.states()
        clone_id = command.clone_id or ""
        left: list[str] = []
        if not await context.blocking(states.renewed, clone_id, context.job_id, keep=self._resets):
            await context.release()  # nobody writes to the copy now
            await self._look(context)  # once more: copying took its time
            await self._jobs.claim(context, 2 * int(context.state.get("needed", 0)))
            context.report(message="Preparing the copy beside the clone, then exchanging them")
            check = context.token.check
            left = await context.blocking(states.renew, clone_id, context.job_id, keep=self._resets, check=check)
        await self._move_base(context)
        note_left_out(context, left)
        older = [state.name for state in await context.blocking(states.kept, clone_id) if is_version(state.name)]
        if older:
            text = (
                "Versions from before the refresh: a restore after going back to one takes what production had changed "
                "until then for older work of its own, and brings the version's"
            )
            names = [name.removeprefix("version-") for name in older]
            context.note(Note(code="versions_older", message=text, count=len(names), samples=names))

    async def _settle(self, context: JobContext) -> None:
        """Failed or cancelled in the middle: the clone is what it was, or wholly what its source is."""
        states, clone_id = self._driver.states, command_of(context).clone_id or ""
        if states is not None and await asyncio.to_thread(states.renewed, clone_id, context.job_id, keep=self._resets):
            await self._move_base(context)

    async def _move_base(self, context: JobContext) -> None:
        """The clone's base is that of the copy; none, where none was kept: the one before says nothing any more."""
        clone_id = command_of(context).clone_id or ""
        with tempfile.TemporaryFile(prefix="siteferry-refresh-") as packed:
            if await base_store.fetch(context.bus, context.job_id, packed) is None:
                await base_store.forget(context.bus, clone_id)
                return
            packed.seek(0)
            await base_store.save(context.bus, clone_id, packed)

    async def _leave(self, context: JobContext) -> None:
        await self._leaves(context)
        await self._destroys(context)


EDITS = "edits"
"""The carrier that reads the clone."""


def told(said: Edits) -> str:
    """What was edited, in one sentence."""
    if not said.known:
        return "It is not known what the clone was when it was made, so nobody can tell what was edited in it."
    tables = [f"{name} ({_table_told(table.model_dump())})" for name, table in list(said.tables.items())[:5]]
    if len(said.tables) > len(tables):
        tables.append(f"{len(said.tables) - len(tables)} more tables")
    parts = [", ".join(tables)] if tables else []
    if said.files:
        parts.append(f"{said.files:,} file{'' if said.files == 1 else 's'} (like {said.file_samples[0]})")
    return f"Edited in the clone since it was made or refreshed: {'; '.join(parts)}."


def _table_told(table: dict[str, Any]) -> str:
    if table["altered"]:
        return "built anew or dropped"
    return ", ".join(f"{table[how]:,} {how}" for how in ("added", "changed", "removed") if table[how])
