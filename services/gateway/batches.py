"""Batches on the streams: accepted, found and cancelled as a whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from nats.js.api import PubAck
from nats.js.errors import APIError
from nats.js.kv import KeyValue

from services.gateway.batch import Batch, make_batch, members
from services.gateway.listing import Index
from services.gateway.store import Store
from shared.bus.batch import Outgoing, publish_batch
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.events import Cancel, CloneRequested, Message, fold
from shared.contract.jobs import Job, Phase
from shared.ids import batch_member, is_batch_id
from shared.secrets.vault import KeyRing, Vault

BREATH = 50
"""Commands made before others get their turn: making a thousand takes as long as answering dozens of calls."""
DUPLICATE = 10201
"""The server's code for a batch with a Msg-Id it has stored before."""
TRIES = 3

Secret = dict[str, Any]


class _Draft:
    """Collects what would be published, to publish it together."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []

    async def __call__(self, subject: str, payload: bytes, *, timeout: float, headers: dict[str, str]) -> PubAck:
        self.messages.append(Outgoing(subject, payload, headers))
        return PubAck(stream="", seq=0)

    async def put(self, reference: str, sealed: bytes) -> None:
        """The same for an entry of the vault."""
        self.messages.append(Outgoing(f"$KV.{streams.VAULT}.{reference}", sealed))


class Batches:
    """All batches, through the jobs they consist of."""

    def __init__(
        self, bus: Bus, store: Store, jobs: Index[Job], vault: KeyValue, keys: KeyRing, *, timeout: float
    ) -> None:
        self._bus = bus
        self._store = store
        self._jobs = jobs
        self._vault = vault
        self._keys = keys
        self._timeout = timeout

    async def accept(self, commands: Sequence[tuple[CloneRequested, Secret]], *, traceparent: str) -> None:
        """Store all secrets, then all commands, each in one atomic batch: what is not stored whole is not there.

        Accepting the same batch again changes nothing. Raises nats errors when nothing was stored, and TimeoutError
        when nobody knows; of secrets without their commands the bucket forgets itself.
        """
        secrets = await self._sealed(commands)
        drafts = await self._drafts([(command, f"{command.job_id}:requested") for command, _ in commands], traceparent)
        await publish_batch(self._bus.js, secrets, timeout=self._timeout)
        try:
            await publish_batch(self._bus.js, drafts, timeout=self._timeout)
        except APIError as error:
            if error.err_code != DUPLICATE or not await self.is_stored(commands[0][0].batch_id or ""):
                raise

    async def is_stored(self, batch_id: str) -> bool:
        """Whether a batch was accepted before."""
        lead = await self._lead(batch_id)
        return lead is not None and lead.batch_id == batch_id

    async def find(self, batch_id: str, *, anew: bool = False) -> Batch | None:
        """The batch as the projection has it, with what this gateway wrote and what nobody has projected yet.

        `anew` asks the stream about every job that has not ended. None when there is no such batch.
        """
        await self._jobs.refresh()
        lead = await self._lead(batch_id) if is_batch_id(batch_id) else None
        if lead is None or lead.batch_id != batch_id or not lead.batch_size:
            return None
        known = {job_id: self._jobs.get(job_id) for job_id in members(batch_id, lead.batch_size)}
        behind = {job_id: job for job_id, job in known.items() if self._is_behind(job_id, job, anew=anew)}
        fresh = await self._store.jobs(behind) if behind else {}
        jobs = [job for job_id in known if (job := fresh.get(job_id) or known[job_id]) is not None]
        return make_batch(batch_id, lead.batch_size, jobs)

    def newest_first(self, *, tenant: str, after: str | None = None) -> Iterator[Batch]:
        """A tenant's batches as the projection had them at the last `refresh` of its index."""
        for job_id, lead in self._jobs.newest_first(after=after):
            if lead.tenant != tenant or not lead.batch_id or not lead.batch_size:
                continue
            if job_id == batch_member(lead.batch_id, 0):
                ids = members(lead.batch_id, lead.batch_size)
                jobs = [job for member in ids if (job := self._jobs.get(member)) is not None]
                yield make_batch(lead.batch_id, lead.batch_size, jobs)

    async def refresh(self) -> None:
        """Read what changed in the projection."""
        await self._jobs.refresh()

    async def cancel(self, batch: Batch, *, by: str, traceparent: str) -> Batch:
        """Ask that every job ends that has not, by one atomic batch of wishes: once answered, all of them are stored.

        A wish that is stored already is not stored again. Raises nats errors; nothing was stored then, or, after a
        TimeoutError, perhaps all: asking again does what is left.
        """
        for _ in range(TRIES):
            left = [job for job in batch.jobs if not job.status.terminal and job.phase is not Phase.CANCELLING]
            if not left:
                return batch
            wishes = [Cancel(job_id=job.job_id, kind=job.type, lane=job.lane, by=by) for job in left]
            # a wish belongs to what it is about: a job that runs again later can be cancelled again
            named = [(wish, f"{job.job_id}:cancel:{job.seq}") for wish, job in zip(wishes, left, strict=True)]
            drafts = await self._drafts(named, traceparent)
            try:
                acks = await publish_batch(self._bus.js, drafts, timeout=self._timeout)
            except APIError as error:
                if error.err_code != DUPLICATE:
                    raise
                batch = await self.find(batch.batch_id, anew=True) or batch  # somebody asked for the same just now
                continue
            told = {}
            for wish, job, ack in zip(wishes, left, acks, strict=True):
                self._store.wrote(job.job_id, ack.seq)
                told[job.job_id] = fold(job, wish, ack.seq) or job
            return make_batch(batch.batch_id, batch.total, [told.get(job.job_id, job) for job in batch.jobs])
        return batch

    def _is_behind(self, job_id: str, job: Job | None, *, anew: bool) -> bool:
        return job is None or job.seq < self._store.written(job_id) or (anew and not job.status.terminal)

    async def _lead(self, batch_id: str) -> Job | None:
        job_id = batch_member(batch_id, 0)
        return self._jobs.get(job_id) or (await self._store.jobs({job_id: None})).get(job_id)

    async def _sealed(self, commands: Sequence[tuple[CloneRequested, Secret]]) -> list[Outgoing]:
        draft = _Draft()
        vault = Vault(self._vault, self._keys, put=draft.put)
        for number, (command, secret) in enumerate(commands):
            await vault.put(command.secret_ref, secret)
            await _breathe(number)
        return draft.messages

    async def _drafts(self, messages: Sequence[tuple[Message, str]], traceparent: str) -> list[Outgoing]:
        draft = _Draft()
        for number, (message, msg_id) in enumerate(messages):
            await self._bus.publish(message, msg_id=msg_id, headers={"traceparent": traceparent}, tries=1, via=draft)
            await _breathe(number)
        return draft.messages


async def _breathe(number: int) -> None:
    if number % BREATH == BREATH - 1:
        await asyncio.sleep(0)
