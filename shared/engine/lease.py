"""Who works on a job. JetStream acknowledgements are not fenced, so a worker makes a job its own before it touches
anything: by this lease, or, until the first heartbeat of a new job, by the checkpoint alone (`Checkpoint.held_for`).

A lease is an entry with a message TTL: it ends by itself when nobody renews it. Its revision when taken is the fence:
revisions of a bucket only grow, so whoever takes over has a greater one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from shared.bus.connection import Bus
from shared.contract.streams import LEASES
from shared.engine.records import Conflict, Records
from shared.engine.token import StopToken
from shared.errors import LeaseLost


class Lease:
    """The right to work on one job, while `token` does not say otherwise."""

    def __init__(self, records: Records, job_id: str, owner: str, ttl: int, token: StopToken) -> None:
        self._records = records
        self.job_id = job_id
        self.owner = owner
        self.ttl = ttl
        self.token = token
        self.revision = 0
        self.fence = 0
        self.attempt = 0
        self._until = 0.0

    @property
    def left(self) -> float:
        """Seconds for which we believe to have it."""
        return self._until - time.monotonic()

    def begin(self) -> None:
        """What is written next elsewhere makes the job ours for as long as a lease; its entry is made by `renew`."""
        self._until = time.monotonic() + self.ttl
        self.token.alive_until(self._until)

    async def take(self) -> bool:
        """Take the lease; False when somebody else holds it. Raises nats errors when NATS is away."""
        begun = time.monotonic()
        try:
            await self._write(begun, last=0, check=lambda: None)  # nobody has it, nearly always: then this is all
        except Conflict:
            entry = await self._records.get(self.job_id)
            if entry is not None and entry.value is not None:
                return False
            try:
                await self._write(begun, last=entry.revision if entry else 0, check=lambda: None)
            except Conflict:
                return False
        self.fence = self.revision
        return True

    async def renew(self) -> None:
        """Hold it longer. Raises LeaseLost when it is somebody else's or its time is over."""
        try:
            await self._write(time.monotonic(), last=self.revision, check=self._check_time)
        except Conflict as error:
            raise LeaseLost from error

    async def release(self) -> None:
        """Give it up, if it is still ours."""
        if self.revision == 0:
            return
        await self._records.drop(self.job_id, revision=self.revision)

    def renewed_for(self, token: StopToken) -> None:
        """From now on tell this token how long the lease holds."""
        self.token = token
        token.alive_until(self._until)

    async def _write(self, begun: float, *, last: int, check: Callable[[], None]) -> None:
        value = json.dumps({"owner": self.owner, "attempt": self.attempt, "fence": self.fence}).encode()
        self.revision = await self._records.write(self.job_id, value, last=last, ttl=self.ttl, check=check)
        # Counted from before the request: our clock never believes in the lease longer than the server does.
        self._until = begun + self.ttl
        self.token.alive_until(self._until)

    def _check_time(self) -> None:
        if self.token.reason is LeaseLost:
            raise LeaseLost


def leases(bus: Bus) -> Records:
    """The bucket the leases live in."""
    return Records(bus, LEASES)
