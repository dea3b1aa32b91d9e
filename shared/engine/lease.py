"""Who works on a job. JetStream acknowledgements are not fenced, so a worker takes a lease before it touches anything.

A lease is an entry with a message TTL: it ends by itself when nobody renews it. Its revision when taken is the fence:
revisions of a bucket only grow, so whoever takes over has a greater one.
"""

from __future__ import annotations

import json
import time

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

    async def take(self) -> bool:
        """Take the lease; False when somebody else holds it. Raises nats errors when NATS is away."""
        begun = time.monotonic()
        entry = await self._records.get(self.job_id)
        if entry is not None and entry.value is not None:
            return False
        try:
            await self._write(begun, last=entry.revision if entry else 0)
        except Conflict:
            return False
        self.fence = self.revision
        return True

    async def renew(self) -> None:
        """Hold it longer. Raises LeaseLost when it is somebody else's or its time is over."""
        try:
            await self._write(time.monotonic(), last=self.revision)
        except Conflict as error:
            raise LeaseLost from error

    async def release(self) -> None:
        """Give it up, if it is still ours."""
        await self._records.drop(self.job_id, revision=self.revision)

    def renewed_for(self, token: StopToken) -> None:
        """From now on tell this token how long the lease holds."""
        self.token = token
        token.alive_until(self._until)

    async def _write(self, begun: float, *, last: int) -> None:
        value = json.dumps({"owner": self.owner, "attempt": self.attempt, "fence": self.fence}).encode()
        self.revision = await self._records.write(
            self.job_id, value, last=last, ttl=self.ttl, check=self._check_time if last else lambda: None
        )
        # Counted from before the request: our clock never believes in the lease longer than the server does.
        self._until = begun + self.ttl
        self.token.alive_until(self._until)

    def _check_time(self) -> None:
        if self.token.reason is LeaseLost:
            raise LeaseLost


def leases(bus: Bus) -> Records:
    """The bucket the leases live in."""
    return Records(bus, LEASES)
