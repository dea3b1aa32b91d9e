"""What routes work with, wired once the bus is connected."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Annotated

from fastapi import Path, Request
from nats.js.kv import KeyValue

from services.gateway import problems, views
from services.gateway.access import Keys, Principal, unauthenticated
from services.gateway.audit import Audit, Audited
from services.gateway.batches import Batches
from services.gateway.behind import Behind
from services.gateway.calls import Calls
from services.gateway.group import Group
from services.gateway.idempotency import Idempotency
from services.gateway.key_store import KeyStore
from services.gateway.lenient import read_as
from services.gateway.limits import RateLimit
from services.gateway.listing import Index
from services.gateway.operations import Operations
from services.gateway.recent import Recent
from services.gateway.schedules.store import ScheduleStore
from services.gateway.settings import GatewaySettings
from services.gateway.statistics import LONGEST
from services.gateway.store import Store
from shared.bus.connection import Bus
from shared.contract import streams
from shared.contract.api_keys import Scope
from shared.contract.events import Message, fold, fold_clone, fold_snapshot, now
from shared.contract.jobs import Clone, CloneResult, CloneState, Job, RestoreResult, Snapshot
from shared.contract.subjects import KINDS
from shared.ids import is_job_id
from shared.secrets.vault import KeyRing, Vault

SIGN_INS_PER_MINUTE = 10
"""Sign-ins from one address, over all replicas. Keys are long and random: this is about load, not about luck."""
LIMITS_MOST = 1000


class Edge:
    """The gateway's view of the bus."""

    operations: Operations
    """What is done to many at once; wired last, because it does it through the edge."""

    def __init__(self, settings: GatewaySettings, bus: Bus, vault: KeyValue, keys: KeyRing, callers: Keys) -> None:
        self.settings = settings
        self.callers = callers
        self.bus = bus
        self.keys = keys
        self.audit = Audit(bus.js, timeout=settings.store_timeout)
        if isinstance(bus.js, Audited):
            bus.js.audit = self.audit
        self.commands = Group(bus.js, timeout=settings.store_timeout, before=self.audit.begin)
        self.vault = Vault(vault, keys, put=self._put_secret)
        self._secrets = Group(bus.js, timeout=settings.store_timeout, before=self.audit.begin)
        self.behind = Behind(bus)
        self.store = Store(bus, self.behind, timeout=settings.store_timeout)
        self.recent = Recent(LONGEST, now)
        self.jobs = Index(
            bus,
            streams.JOBS,
            _listed,
            fold=_fold_listed,
            kinds=KINDS,
            behind=self.behind,
            follower=self.recent,
        )
        self.clones = Index(
            bus, streams.CLONES, partial(read_as, Clone), fold=fold_clone, kinds=("clone",), behind=self.behind
        )
        self.snapshots = Index(
            bus,
            streams.SNAPSHOTS,
            partial(read_as, Snapshot),
            fold=fold_snapshot,
            kinds=("restore",),
            behind=self.behind,
        )
        self.batches = Batches(bus, self.store, self.jobs, vault, keys, timeout=settings.store_timeout)
        self.idempotency = Idempotency(bus, self.keys)
        self.key_store = KeyStore(bus)
        self.schedules = ScheduleStore(bus)
        self.limit = RateLimit(bus, per_minute=settings.rate_limit_per_minute, burst=settings.rate_limit_burst)
        self.calls = Calls(bus)
        self.sign_ins = RateLimit(bus, per_minute=SIGN_INS_PER_MINUTE, burst=SIGN_INS_PER_MINUTE)
        self._of_keys: OrderedDict[tuple[str, int], RateLimit] = OrderedDict()

    async def warm(self) -> None:
        """Read the lists before somebody asks: the first look at many jobs takes seconds. Raises nats errors."""
        for index in (self.jobs, self.clones, self.snapshots):
            await index.refresh()

    async def take(self, principal: Principal, cost: int = 1) -> dict[str, str]:
        """Count changes against what the caller's key and his tenant may ask for, and record the call; the `RateLimit`
        fields of the answer.

        Raises a 429 problem when it is too much.
        """
        fields = {}
        if principal.rate_per_minute:
            fields = await self._limit_of(principal.id, principal.rate_per_minute).take(f"key {principal.id}", cost)
        fields = await self.limit.take(principal.tenant, cost) | fields
        await self.audit.begin()
        return fields

    def _limit_of(self, key_id: str, per_minute: int) -> RateLimit:
        limit = self._of_keys.setdefault(
            (key_id, per_minute), RateLimit(self.bus, per_minute=per_minute, burst=per_minute)
        )
        self._of_keys.move_to_end((key_id, per_minute))
        while len(self._of_keys) > LIMITS_MOST:
            self._of_keys.popitem(last=False)
        return limit

    async def require_still(self, principal: Principal) -> None:
        """Raises a 401 problem when the caller's key is good for nothing any more, nats errors when nobody knows."""
        if principal.key and await self.callers.holder(principal.key) is None:
            raise unauthenticated("The API key is not valid any more.")

    async def _put_secret(self, reference: str, sealed: bytes) -> None:
        await self._secrets.publish(f"$KV.{streams.VAULT}.{reference}", sealed)


def _listed(value: bytes) -> Job | None:
    job = read_as(Job, value)
    return None if job is None else _without_details(job)


def _fold_listed(job: Job | None, message: Message, seq: int) -> Job | None:
    folded = fold(job, message, seq)
    return None if folded is None else _without_details(folded)


def _without_details(job: Job) -> Job:
    """A job without what lists do not show, which is most of it."""
    return job.model_copy(update={"steps": [], "result": None})


def enter(request: Request) -> tuple[Edge, Principal]:
    """What a route works with, and who calls. A plain call: FastAPI's dependencies cost a tenth of a submission.

    Raises a 503 problem while NATS is not connected: nothing is accepted that can not be stored.
    """
    return connected(request), request.state.principal


def connected(request: Request) -> Edge:
    """What a route works with. Raises a 503 problem while NATS is not connected."""
    edge: Edge | None = request.app.state.edge
    if edge is None or not edge.bus.nc.is_connected:
        raise problems.unavailable()
    return edge


JobId = Annotated[str, Path(description="The job's id, like clone-0k3v9x2m7c1p5t8w.")]
CloneId = Annotated[str, Path(description="The clone's id; the same as that of its job.")]


async def owned_job(edge: Edge, principal: Principal, job_id: str) -> Job:
    """The job, if it is the caller's. Raises a 404 problem otherwise: others' jobs do not exist for him."""
    return await job_of(edge, principal.tenant, job_id)


async def job_of(edge: Edge, tenant: str, job_id: str) -> Job:
    """The job, if it is the tenant's. Raises a 404 problem otherwise."""
    job = await edge.store.job(job_id) if is_job_id(job_id) else None
    if job is None or job.tenant != tenant:
        raise problems.job_not_found()
    return job


async def owned_clone(edge: Edge, principal: Principal, clone_id: str) -> Clone:
    """The clone, if it is the caller's. Raises a 404 problem otherwise."""
    return await clone_of(edge, principal.tenant, clone_id)


async def active_clone(edge: Edge, principal: Principal, clone_id: str) -> Clone:
    """The caller's own clone, as long as it is there. Raises a 404 or 409 problem otherwise."""
    clone = await owned_clone(edge, principal, clone_id)
    if clone.state is not CloneState.ACTIVE:
        raise problems.clone_gone(clone)
    return clone


async def clone_of(edge: Edge, tenant: str, clone_id: str) -> Clone:
    """The clone, if it is the tenant's. Raises a 404 problem otherwise."""
    clone = await edge.store.clone(clone_id) if is_job_id(clone_id) else None
    if clone is None or clone.tenant != tenant:
        raise problems.clone_not_found()
    return clone


async def answer_for(edge: Edge, principal: Principal, job: Job) -> bytes:
    """The job as its owner sees it, in JSON; who may only read sees no password."""
    made: Clone | Snapshot | None = None
    if isinstance(job.result, CloneResult):
        made = await edge.store.clone(job.job_id)
    elif isinstance(job.result, RestoreResult) and job.result.snapshot_id == job.job_id:
        made = await edge.store.snapshot(job.job_id)
    return views.job_answer(job, made, keys_for(edge, principal)).model_dump_json().encode()


def keys_for(edge: Edge, principal: Principal) -> KeyRing | None:
    """What opens passwords for this caller; None: nothing does."""
    return edge.keys if principal.scope.includes(Scope.SUBMIT) else None
