"""A webhook's message on its way: stored to be sent now or later, read back from the stream."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from nats.aio.msg import Msg

from shared.bus.connection import Bus
from shared.contract.subjects import webhook_due, webhook_later

TYPE, JOB, ATTEMPT, FIRST = "Siteferry-Type", "Siteferry-Job", "Siteferry-Attempt", "Siteferry-First"
"""Headers; the server copies them when a schedule fires."""


@dataclass(frozen=True)
class Outgoing:
    """A message for one endpoint, and how often it was tried."""

    endpoint: str
    delivery: str
    type: str
    job_id: str
    """Empty for tests."""
    body: bytes
    attempt: int = 1
    first_at: datetime | None = None
    """When it was first tried."""

    @classmethod
    def read(cls, msg: Msg) -> Outgoing:
        """The message behind a delivery of the stream. Raises ValueError when it is not one."""
        _, _, endpoint, delivery = msg.subject.split(".")
        headers = msg.headers or {}
        first = headers.get(FIRST)
        return cls(
            endpoint,
            delivery,
            headers.get(TYPE, ""),
            headers.get(JOB, ""),
            msg.data,
            int(headers.get(ATTEMPT, "1")),
            datetime.fromisoformat(first) if first else None,
        )

    async def send(self, bus: Bus) -> None:
        """Store it to be sent now; once, however often this is called. Raises nats errors."""
        headers = {"Nats-Msg-Id": self.delivery, **self._headers()}
        await bus.js.publish(webhook_due(self.endpoint, self.delivery), self.body, headers=headers)

    async def send_at(self, bus: Bus, at: datetime, *, msg_id: str) -> None:
        """Have the server store it again at a time (ADR-51). Raises nats errors."""
        when = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        headers = {
            "Nats-Msg-Id": msg_id,
            "Nats-Schedule": f"@at {when}",
            "Nats-Schedule-Target": webhook_due(self.endpoint, self.delivery),
            **self._headers(),
        }
        await bus.js.publish(webhook_later(self.endpoint, self.delivery), self.body, headers=headers)

    def _headers(self) -> dict[str, str]:
        first = {} if self.first_at is None else {FIRST: self.first_at.isoformat()}
        job = {JOB: self.job_id} if self.job_id else {}
        return {TYPE: self.type, ATTEMPT: str(self.attempt), **first, **job}
