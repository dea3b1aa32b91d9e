"""One connector on a source, however many jobs read from it at the same time.

A source has room for one connector with one key. The first job installs it, later ones join, the last one removes it;
who is in is kept in the bucket `connectors`, changed by compare-and-set only. While one job installs or removes, the
others wait for it; if it dies meanwhile, the next one takes over.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from nats.js.errors import BadRequestError, KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue
from pydantic import BaseModel, Field, ValidationError

from shared.errors import Temporary
from shared.log import get
from shared.secrets.vault import KeyRing

log = get(__name__)

BUSY_SECONDS = 90.0
"""After this a job that installs or removes is taken for dead."""
WAIT_SECONDS = 180.0
POLL_SECONDS = 0.3
KEY_BYTES = 32
MARGIN_SECONDS = 3600
"""A connector that ends sooner than this is not joined any more."""


class ConnectorBusy(Temporary):
    """Another job is installing or removing the connector on this source."""

    code = "connector_busy"


class Entry(BaseModel):
    """One source's connector: its sealed key, who uses it, who is changing it right now."""

    sealed_key: str
    expires_at: int
    home: str = ""
    siteurl: str = ""
    """The source's addresses, for whoever has to remove a connector that was left behind."""
    jobs: list[str] = Field(default_factory=list)
    installed: bool = False
    begun: bool = False
    """Whether an installation was begun of which nobody knows since how it ended: it may have left half a plugin."""
    busy: str | None = None
    busy_since: float = 0.0

    def free_for(self, job_id: str, now: float) -> bool:
        """Whether this job may change the entry."""
        return self.busy in {None, job_id} or now - self.busy_since > BUSY_SECONDS


@dataclass(frozen=True)
class Seat:
    """What a job that joined needs to know."""

    key: bytes
    expires_at: int
    must_install: bool


class Connectors:
    """Who uses the connector of which source."""

    def __init__(self, bucket: KeyValue, keys: KeyRing, *, lifetime: float) -> None:
        self._bucket = bucket
        self._keys = keys
        self._lifetime = lifetime

    async def join(
        self,
        source: str,
        job_id: str,
        *,
        home: str = "",
        siteurl: str = "",
        broken: bool = False,
        waiting: Callable[[], Awaitable[None]] | None = None,
    ) -> Seat:
        """Take a seat; `must_install` says that this job is the one to install, and to call `installed` afterwards.

        `broken`: the connector that should be there does not answer. `waiting` is awaited between looks and raises to
        stop. Idempotent. Raises ConnectorBusy when another job is busy for too long.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            entry, revision = await self._read(_name(source))
            now = time.time()
            if entry is None or entry.expires_at < now + (MARGIN_SECONDS if not entry.jobs else 0):
                entry = self._fresh(now, home or source, siteurl or home or source)
            if entry.installed and entry.busy is None and not broken:
                if await self._write(_name(source), self._with(entry, job_id), revision):
                    return self._seat(entry, must_install=False)
            elif entry.free_for(job_id, now):
                entry = self._with(entry, job_id).model_copy(
                    update={"busy": job_id, "busy_since": now, "installed": False, "begun": True}
                )
                if await self._write(_name(source), entry, revision):
                    return self._seat(entry, must_install=True)
            if waiting is not None:
                await waiting()
            await asyncio.sleep(POLL_SECONDS)
        raise ConnectorBusy

    async def installed(self, source: str, job_id: str) -> None:
        """This job has installed the connector; the others may use it."""
        done: dict[str, object] = {"installed": True, "begun": False, "busy": None}
        await self._change(_name(source), lambda entry: done if entry.busy == job_id else {})

    async def leave(self, source: str, job_id: str) -> bool:
        """Give the seat back. True: it was the last one; this job removes the connector and then calls `forget`.

        Idempotent, also for a job that never had a seat.
        """
        last = False

        def without(entry: Entry) -> dict[str, object]:
            nonlocal last
            jobs = [job for job in entry.jobs if job != job_id]
            mine = entry.busy == job_id
            last = not jobs and (job_id in entry.jobs or mine)
            if last:
                return {"jobs": [], "busy": job_id, "busy_since": time.time(), "installed": False}
            return {"jobs": jobs, **({"busy": None} if mine else {})}

        await self._change(_name(source), without)
        return last

    async def forget(self, source: str, job_id: str, *, gone: bool = True) -> None:
        """The connector is gone from the source; if it is not, the entry stays for the sweeper or the next job."""
        if not gone:
            await self.release(_name(source), job_id)
            return
        entry, revision = await self._read(_name(source))
        if entry is not None and entry.busy == job_id and not entry.jobs:
            try:
                await self._bucket.delete(_name(source), last=revision)
            except BadRequestError:
                return  # somebody took over; the entry is theirs

    # --- for the sweeper, who knows an entry by its name only

    async def look(self, name: str) -> tuple[Entry, int] | None:
        """An entry and its revision."""
        try:
            found = await self._bucket.get(name)
        except KeyNotFoundError:
            return None
        return Entry.model_validate_json(found.value or b"{}"), found.revision or 0

    async def seize(self, name: str, owner: str, revision: int) -> bytes | None:
        """Take an entry whose jobs have all ended, so that nobody joins while its connector is removed.

        The connector's key; None when the entry was changed meanwhile.
        """
        found = await self.look(name)
        if found is None or found[1] != revision:
            return None
        entry = found[0].model_copy(
            update={"jobs": [], "busy": owner, "busy_since": time.time(), "installed": False},
        )
        try:
            await self._bucket.update(name, entry.model_dump_json().encode(), last=revision)
        except KeyWrongLastSequenceError:
            return None
        return self._seat(entry, must_install=False).key

    async def drop(self, name: str, owner: str) -> None:
        """Forget a seized entry, unless somebody has taken it over."""
        found = await self.look(name)
        if found is not None and found[0].busy == owner:
            with suppress(BadRequestError):
                await self._bucket.delete(name, last=found[1])

    async def release(self, name: str, owner: str) -> None:
        """Let others take an entry whose connector stays."""
        await self._change(name, lambda entry: {"busy": None} if entry.busy == owner else {})

    async def _change(self, name: str, update: Callable[[Entry], dict[str, object]]) -> None:
        while True:
            entry, revision = await self._read(name)
            if entry is None:
                return
            changed = entry.model_copy(update=update(entry))
            if changed == entry or await self._write(name, changed, revision):
                return

    async def _read(self, name: str) -> tuple[Entry | None, int]:
        try:
            found = await self._bucket.get(name)
        except KeyNotFoundError as error:
            return None, (error.entry.revision or 0) if error.entry is not None else 0
        try:
            return Entry.model_validate_json(found.value or b"{}"), found.revision or 0
        except ValidationError:  # whoever comes next installs anew, rather than nobody ever again
            log.warning("an entry of a connector that can not be read", entry=name)
            return None, found.revision or 0

    async def _write(self, name: str, entry: Entry, revision: int) -> bool:
        try:
            await self._bucket.update(name, entry.model_dump_json().encode(), last=revision)
        except KeyWrongLastSequenceError:
            return False
        return True

    def _fresh(self, now: float, home: str, siteurl: str) -> Entry:
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        sealed = self._keys.seal(key, purpose="connector")
        return Entry(sealed_key=sealed, expires_at=int(now + self._lifetime), home=home, siteurl=siteurl)

    def _with(self, entry: Entry, job_id: str) -> Entry:
        return entry.model_copy(update={"jobs": [*(job for job in entry.jobs if job != job_id), job_id]})

    def _seat(self, entry: Entry, *, must_install: bool) -> Seat:
        key = base64.b64decode(self._keys.open(entry.sealed_key, purpose="connector"))
        return Seat(key=key, expires_at=entry.expires_at, must_install=must_install)


def _name(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()[:32]
