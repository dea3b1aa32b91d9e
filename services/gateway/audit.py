"""The audit log, written: who did what (ADR 44).

A call that changes something is recorded before its first write to NATS, whatever route it takes: `Audited` stands in
front of every write. So there is no act without a record; where none can be stored the act fails as well, with 503. How
it ended is written behind the answer.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from itertools import islice
from typing import Any

from nats.js import JetStreamContext
from nats.js.api import PubAck
from starlette.datastructures import Headers
from starlette.types import Scope

from services.gateway.access import Principal
from services.gateway.audit_actions import ACTIONS, Action
from services.gateway.group import Group
from services.gateway.problems import UNAVAILABLE
from services.gateway.told import address_of
from shared.contract import streams
from shared.contract.api_keys import id_of, tenant_token
from shared.contract.audit import MANY, Record
from shared.contract.events import now
from shared.contract.subjects import audit
from shared.ids import new_id
from shared.log import get
from shared.secrets.api_keys import bearer
from shared.secrets.tickets import cookies

log = get(__name__)

UNAUTHENTICATED = 401
REFUSED = 400
NOBODYS_A_MINUTE = 10
"""Records of refused keys one gateway writes a minute: 6.5 MB a day when somebody tries all the time."""
TENANTS_A_MINUTE = 30
"""Records a minute of a tenant's calls that were refused before they could change anything."""
COUNTED_MOST = 1000
WAITING_MOST = 20_000
"""Ends of calls that wait for NATS; of what is beyond, the log keeps the beginning only."""
AGAIN = 1.0
ACCEPTED = 202
LAST = 1.0
"""Seconds for writing what waits when the gateway stops."""
OBJECT = re.compile(r"[A-Za-z0-9._-]{1,64}")
BESIDE = ("audit.", f"$KV.{streams.LIMITS}.")
"""Subjects that are no act: the log's own, and the counting of calls."""


class Call:
    """One call, as far as the log is concerned."""

    def __init__(self, scope: Scope, headers: Headers, request_id: str, *, cookie: str) -> None:
        """`cookie`: the name of the session's."""
        self.scope, self._headers, self._request_id, self._cookie = scope, headers, request_id, cookie
        self._at = now()
        self._objects: list[str] = []
        self.principal: Principal | None = None
        """Who calls, once that is known."""
        self.begun: asyncio.Task[Record] | None = None

    @property
    def action(self) -> Action | None:
        """What it asks for, once its route is known; None: nothing for the log."""
        return ACTIONS.get(getattr(self.scope.get("route"), "operation_id", None) or "")

    @property
    def shown(self) -> bool:
        """Whether it tried to prove who calls: a browser that opens the sign-in page has not, whatever cookies of our
        host's other ports it brings."""
        return "authorization" in self._headers or cookies(self._headers.get("cookie"), self._cookie) is not None

    def about(self, ids: Iterable[str]) -> None:
        """Name what it is about beside what its address and its answer name."""
        self._objects += islice(ids, MANY)

    def record(self, action: Action, **more: Any) -> Record:
        """What is known of it now."""
        found = [*self.scope.get("path_params", {}).values(), *self._objects]
        objects = dict.fromkeys(text for each in found if OBJECT.fullmatch(text := str(each)))
        who = self.principal
        shown = bearer(self._headers.get("authorization")) or ""
        return Record(
            id=new_id("record"),
            at=self._at,
            tenant=who.tenant if who else "",
            key=who.who if who else id_of(shown) or "",
            name=who.name if who else "",
            address=address_of(self.scope),
            request_id=self._request_id,
            trace_id=self.scope["state"]["trace_id"],
            action=action,
            objects=list(objects)[:MANY],
            **more,
        )


CURRENT: ContextVar[Call | None] = ContextVar("audited call", default=None)


def about(ids: Iterable[str]) -> None:
    """Name what the running call is about."""
    if call := CURRENT.get():
        call.about(ids)


def caller(principal: Principal) -> None:
    """Say who makes the running call, where only its route finds out."""
    if call := CURRENT.get():
        call.principal = principal


class Audit:
    """Writes the log."""

    def __init__(self, js: JetStreamContext, *, timeout: float) -> None:
        self._group = Group(js, timeout=timeout)
        self._ended: deque[Record] = deque()
        self._news = asyncio.Event()
        self._nobodys = _Budget(NOBODYS_A_MINUTE)
        self._tenants: OrderedDict[str, _Budget] = OrderedDict()

    async def begin(self) -> None:
        """Record the running call, once, before it changes anything. Raises nats errors when that can not be stored."""
        call = CURRENT.get()
        if call is None or call.principal is None or call.action is None:
            return
        if call.begun is None:
            call.begun = asyncio.create_task(self._begin(call.record(call.action)), name="audit record")
        await asyncio.shield(call.begun)

    async def _begin(self, record: Record) -> Record:
        await self._store(record)
        return record

    @asynccontextmanager
    async def on_behalf(
        self, principal: Principal, action: Action, objects: list[str], *, which: str, trace_id: str
    ) -> AsyncIterator[None]:
        """Record what is done inside for somebody who does not call in that moment, before and after; `which` is the
        record's id, so that doing it again is no second record.

        Raises nats errors before anything is done when that can not be stored.
        """
        begun = Record(
            id=which,
            at=now(),
            tenant=principal.tenant,
            key=principal.who,
            name=principal.name,
            address="",
            request_id="",
            trace_id=trace_id,
            action=action,
            objects=objects,
        )
        await self._store(begun)
        yield
        self._later(begun.model_copy(update={"ended_at": now(), "status": ACCEPTED}))

    def end(self, call: Call, status: int, *, location: str, code: str | None) -> None:
        """Record how a call was answered, behind the answer. `location`: where what it made is, if there is such."""
        if call.begun is None:
            return self._end_unbegun(call, status, code)
        if not call.begun.done() or call.begun.cancelled() or call.begun.exception() is not None:
            return None
        if location:
            call.about([location.partition("?")[0].rpartition("/")[2]])
        begun, known = call.begun.result(), call.record(Action(call.begun.result().action))
        changes = {"objects": known.objects, "ended_at": now(), "status": status, "code": code}
        return self._later(begun.model_copy(update=changes))

    def _end_unbegun(self, call: Call, status: int, code: str | None) -> None:
        """Of a call that changed nothing: a sample, so that nobody can push others out of the log."""
        nobody = call.principal is None and status == UNAUTHENTICATED and (call.shown or call.action is not None)
        action = Action.SESSION_REFUSED if nobody and call.action is not Action.SESSION_BEGIN else call.action
        if action is None or (call.principal is None and not nobody):
            return
        budget = self._nobodys if call.principal is None else self._budget_of(call.principal.tenant)
        if not budget.take():
            return
        self._later(
            call.record(action, ended_at=now(), status=status, code=code, unrecorded=budget.unrecorded()),
        )

    def _budget_of(self, tenant: str) -> _Budget:
        budget = self._tenants.setdefault(tenant, _Budget(TENANTS_A_MINUTE))
        self._tenants.move_to_end(tenant)
        if len(self._tenants) > COUNTED_MOST:
            self._tenants.popitem(last=False)
        return budget

    def _later(self, record: Record) -> None:
        if len(self._ended) >= WAITING_MOST:
            log.warning("the audit log can not be written; the end of a call is left out", record=record.id)
            return
        self._ended.append(record)
        self._news.set()

    async def run(self) -> None:
        """Write what has ended, again and again. Never ends."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._write()
        finally:
            with suppress(*UNAVAILABLE):
                async with asyncio.timeout(LAST):
                    await self._write()

    async def _write(self) -> None:
        while self._ended:
            piece = [self._ended.popleft() for _ in range(min(100, len(self._ended)))]
            done = await asyncio.gather(*map(self._store, piece), return_exceptions=True)
            failed = [record for record, error in zip(piece, done, strict=True) if isinstance(error, Exception)]
            if failed:
                self._ended.extendleft(reversed(failed))
                await asyncio.sleep(AGAIN)

    async def _store(self, record: Record) -> None:
        where = audit(tenant_token(record.tenant), record.action, record.id)
        once = None if record.request_id else {"Nats-Msg-Id": f"{record.id}:{record.status}"}  # several gateways try it
        await self._group.publish(where, record.model_dump_json(exclude_defaults=True).encode(), headers=once)


class _Budget:
    """So many records a minute."""

    def __init__(self, most: int) -> None:
        self._most, self._left, self._since, self._missed = most, most, 0.0, 0

    def take(self) -> bool:
        if time.monotonic() - self._since > 60:
            self._since, self._left = time.monotonic(), self._most
        self._left -= 1
        self._missed += self._left < 0
        return self._left >= 0

    def unrecorded(self) -> int:
        """How many found none since this was asked last."""
        missed, self._missed = self._missed, 0
        return missed


class Audited(JetStreamContext):
    """JetStream as calls see it: each is recorded before its first write."""

    audit: Audit | None = None

    async def publish(self, subject: str, *args: Any, **options: Any) -> PubAck:
        """As JetStreamContext's."""
        if self.audit is not None and not subject.startswith(BESIDE):
            await self.audit.begin()
        return await super().publish(subject, *args, **options)
