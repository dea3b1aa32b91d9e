"""What operations do to their members, and which those are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import TypeVar

from services.gateway import deeds, domain, wanted
from services.gateway.deeds import Asker
from services.gateway.edge import Edge
from services.gateway.models_bulk import MOST, Action, CloneFilter, JobFilter, RetryChanges
from services.gateway.operations import Operation, Operations
from services.gateway.problems import Problem
from shared.contract.jobs import Job
from shared.ids import is_job_id

T = TypeVar("T")


def operations_of(edge: Edge) -> Operations:
    """The operations of a gateway, carried out through its edge."""

    async def deed(operation: Operation, member: str, mark: str) -> None:
        asker = Asker(operation.by, operation.tenant, operation.traceparent)
        match operation.action:
            case Action.RETRY:
                changes = RetryChanges.model_validate(operation.changes)
                await deeds.retry(edge, asker, member, changes=changes, mark=mark)
            case Action.CANCEL:
                await deeds.cancel(edge, asker, member, mark=mark)
            case Action.DELETE:
                await deeds.delete(edge, asker, member, mark=mark)
            case Action.EXTEND:
                assert operation.expires_at is not None
                await deeds.extend(edge, asker, member, operation.expires_at, mark=mark)

    async def marks(member: str) -> set[str]:
        if not is_job_id(member):
            return set()
        return {stored.headers.get("Nats-Msg-Id", "") for stored in await edge.store.story(member)}

    return Operations(edge.bus, deed, marks, timeout=edge.settings.store_timeout)


ELIGIBLE: dict[Action, Callable[[Job], bool]] = {
    Action.RETRY: domain.may_retry,
    Action.CANCEL: lambda job: not job.status.terminal,
}


async def jobs_that_fit(edge: Edge, tenant: str, action: Action, wish: JobFilter) -> list[str]:
    """Ids of jobs the action can be done to, newest first. Raises a 422 problem for none or too wide a filter."""
    _not_empty(wish)
    said = wish.model_dump(exclude_none=True, exclude={"status"})
    fits, states = wanted.jobs(tenant, **said), frozenset(wish.status or ())
    eligible = ELIGIBLE[action]
    await edge.jobs.refresh()
    return _bounded(
        key
        for key, job in edge.jobs.newest_first()
        if fits(job) and eligible(job) and (not states or job.status in states)
    )


async def clones_that_fit(edge: Edge, tenant: str, wish: CloneFilter) -> list[str]:
    """The same for clones that are there."""
    _not_empty(wish)
    fits = wanted.clones(tenant, **wish.model_dump(exclude_none=True))
    await edge.clones.refresh()
    return _bounded(key for key, clone in edge.clones.newest_first() if fits(clone) and domain.may_extend(clone))


def _not_empty(wish: JobFilter | CloneFilter) -> None:
    if wish.empty:
        raise Problem(
            422,
            "empty_filter",
            "The filter is empty, which would mean everything.",
            hint='Say which: {"filter": {"status": ["failed"]}} means all that failed.',
        )


def _bounded(ids: Iterable[T]) -> list[T]:
    found = list(islice(ids, MOST + 1))
    if len(found) > MOST:
        raise Problem(
            422,
            "too_many_matches",
            f"More than {MOST:,} fit this filter.",
            hint="Narrow it, for example with created_before.",
        )
    return found
