"""Who calls: API keys of the bucket, and those of the key file beside it. Gateway and status ask the same.

A key that was revoked, rotated or has expired is worth nothing within a second at every replica: each looks every half
a second whether the bucket has changed, and forgets what it knew when it has. Where a busy process did not come to
that, whoever shows a key waits for the look. Who can not look for `TRUSTED` seconds knows nothing any more: nobody gets
in or stays with a key of the bucket until it can.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.api_keys import ApiKey, entry_of, id_of
from shared.contract.events import now
from shared.log import get
from shared.secrets.key_file import LOCAL, KeyFile, Principal, bearer, digest, parse_keys

__all__ = ["LOCAL", "Keys", "Principal", "bearer", "digest", "parse_keys"]

log = get(__name__)

LOOK_EVERY = 0.5
"""Seconds between looks at the bucket."""
LATE = 1.0
"""Seconds after which a look is waited for, where NATS is there."""
TRUSTED = 10.0
"""Seconds what is known of keys holds without having looked: longer than the election of a leader."""
LOOK_WITHIN = 2.0
KNOWN_MOST = 10_000
STREAM = f"KV_{streams.KEYS}"


class Keys:
    """The keys of an installation. `follow` keeps what is known of the bucket true."""

    def __init__(self, file: Path | None = None, *, used: Callable[[Principal], None] | None = None) -> None:
        """`used` is told whose key was shown, each time."""
        self._file = KeyFile(file) if file else None
        self._used = used
        self._bus: Bus | None = None
        self._looked = self._tried = -TRUSTED
        self._looking: asyncio.Task[None] | None = None
        self._state: tuple[datetime | None, int] | None = None
        self._turn = 0
        """Counts the times everything was forgotten: what was asked for before one is not remembered after it."""
        self._known: OrderedDict[str, ApiKey | None] = OrderedDict()

    async def principal(self, token: str) -> Principal | None:
        """Whose key this is; None when it is none of ours.

        Raises nats errors, ConnectionError or TimeoutError when the bucket can not be asked.
        """
        found = await self._find(id_of(token), digest(token))
        if found is not None and self._used is not None:
            self._used(found)
        return found

    async def holder(self, reference: str) -> Principal | None:
        """Whose key it is that `Principal.key` stands for, as it is now; None when it is good for nothing any more.

        Raises as `principal` does.
        """
        key_id, colon, secret = reference.rpartition(":")
        return await self._find(key_id if colon else None, secret)

    async def living(self, key_id: str) -> Principal | None:
        """Whose key of the bucket it is, whatever its secret is now; None when it was revoked or has expired.

        Raises as `principal` does.
        """
        key = await self._key(key_id)
        return _principal(key, key.digest) if key is not None and key.lives(now()) else None

    async def _find(self, key_id: str | None, secret: str) -> Principal | None:
        if key_id is None:
            return self._file.holder(secret) if self._file else None
        remembered = key_id in self._known
        key = await self._key(key_id)
        if remembered and (key is None or not key.opens(secret, now())):
            self._known.pop(key_id, None)  # it may have been rotated in this moment
            key = await self._key(key_id)
        if key is None or not key.opens(secret, now()):
            return self._file.holder(secret) if self._file else None
        return _principal(key, secret)

    async def _key(self, key_id: str) -> ApiKey | None:
        if self._bus is not None and time.monotonic() - self._looked > LATE:
            await self._look_at_last(self._bus)
        if self._bus is None or time.monotonic() - self._looked > TRUSTED:
            raise ConnectionError("nobody knows which API keys are good while NATS can not be reached")
        if key_id in self._known:
            self._known.move_to_end(key_id)
            return self._known[key_id]
        turn, key = self._turn, await read_key(self._bus, key_id)
        if turn == self._turn:
            self._known[key_id] = key
            while len(self._known) > KNOWN_MOST:
                self._known.popitem(last=False)
        return key

    async def follow(self, bus: Bus) -> None:
        """Look at the bucket again and again, whatever NATS does. Never ends."""
        self._bus = bus
        while True:
            await self._look_together()
            await asyncio.sleep(LOOK_EVERY)

    async def _look_at_last(self, bus: Bus) -> None:
        """Not while NATS is away, and not again right after a try that failed: that would only hold up the answer."""
        if bus.nc.is_connected and (self._looking or time.monotonic() - self._tried > LOOK_EVERY):
            await self._look_together()

    async def _look_together(self) -> None:
        """One look at a time, for all who wait for it, whoever of them gives up."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._try_to_look(), name="look at the API keys")
        await asyncio.shield(self._looking)

    async def _try_to_look(self) -> None:
        try:
            async with asyncio.timeout(LOOK_WITHIN):
                await self.look()
        except (NatsError, JetStreamError, OSError, TimeoutError) as error:
            log.debug("can not look at the API keys now", error=repr(error))
        finally:
            self._tried = time.monotonic()
            self._looking = None

    async def look(self) -> None:
        """Forget what is known when the bucket has changed. Raises nats errors, ConnectionError, TimeoutError."""
        if self._bus is None:
            raise ConnectionError("not connected to NATS")
        began = time.monotonic()
        info = await self._bus.js.stream_info(STREAM)
        state = (info.created, info.state.last_seq)
        if state != self._state:
            self._known.clear()
            self._turn += 1
            self._state = state
        self._looked = began


def _principal(key: ApiKey, secret: str) -> Principal:
    return Principal(
        key.name,
        key.tenant,
        key.lane,
        f"{key.id}:{secret}",
        scope=key.scope,
        operator=key.operator,
        id=key.id,
        rate_per_minute=key.rate_per_minute,
        slots=key.slots,
        ends=key.ends(secret),
    )


async def read_key(bus: Bus, key_id: str) -> ApiKey | None:
    """A key as the bucket's leader holds it: another replica may not have heard yet that it was revoked.

    None when there is none, or none that can be read. Raises nats errors when the bucket can not be asked.
    """
    try:
        found = await bus.js.get_last_msg(STREAM, f"$KV.{streams.KEYS}.{entry_of(key_id)}")
    except NotFoundError as error:
        if error.err_code != NO_MESSAGE:  # the bucket itself is gone: nobody knows
            raise
        return None
    try:
        key = ApiKey.model_validate_json(found.data or b"")
    except ValidationError:
        log.error("an API key can not be read", key=key_id)
        return None
    return key if key.id == key_id else None


NO_MESSAGE = 10037
"""JetStream: no message found."""
