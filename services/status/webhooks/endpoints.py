"""Who wants to be told, as registered: an index of the bucket, brought up to date before each use."""

from __future__ import annotations

from contextlib import aclosing
from datetime import datetime

from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from pydantic import ValidationError

from shared.bus.connection import Bus
from shared.bus.pull import direct
from shared.contract import streams
from shared.contract.webhooks import Endpoint
from shared.log import get

log = get(__name__)

PREFIX = f"$KV.{streams.WEBHOOKS}."
STREAM = f"KV_{streams.WEBHOOKS}"


class Endpoints:
    """Every endpoint there is. Methods raise nats errors."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, Endpoint] = {}
        self._created: datetime | None = None
        self._seq = 0

    async def all(self) -> list[Endpoint]:
        """As they are now."""
        info = await self._bus.js.stream_info(STREAM)
        if info.created != self._created or info.state.last_seq < self._seq:
            self._known, self._seq, self._created = {}, 0, info.created
        if info.state.last_seq > self._seq:
            await self._read_changes()
            self._seq = max(self._seq, info.state.last_seq)
        return list(self._known.values())

    async def _read_changes(self) -> None:
        async with aclosing(direct(self._bus.nc, STREAM, seq=self._seq + 1, subject=f"{PREFIX}>")) as changes:
            async for msg in changes:
                headers = msg.headers or {}
                name = headers["Nats-Subject"].removeprefix(PREFIX)
                self._seq = int(headers["Nats-Sequence"])
                if "KV-Operation" in headers:
                    self._known.pop(name, None)
                    continue
                try:
                    self._known[name] = Endpoint.model_validate_json(msg.data)
                except ValidationError:
                    log.warning("skipped a webhook that can not be read", webhook=name)

    async def one(self, endpoint_id: str) -> Endpoint | None:
        """One as it is now; None when it was removed."""
        try:
            entry = await (await self._bus.bucket(streams.WEBHOOKS)).get(endpoint_id)
            return Endpoint.model_validate_json(entry.value or b"")
        except (KeyNotFoundError, ValidationError):
            return None

    async def disable(self, endpoint_id: str, why: str) -> None:
        """Send nothing there any more. Removed meanwhile: nothing happens."""
        bucket = await self._bus.bucket(streams.WEBHOOKS)
        try:
            entry = await bucket.get(endpoint_id)
            changed = Endpoint.model_validate_json(entry.value or b"").model_copy(update={"disabled": why})
            await bucket.update(endpoint_id, changed.model_dump_json().encode(), last=entry.revision)
        except (KeyNotFoundError, KeyWrongLastSequenceError, ValidationError):
            return
