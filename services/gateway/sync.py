"""Synchronous calls: a submission that is answered once its job has ended, if that is soon enough.

The job is stored before anybody waits. A client or a proxy that hangs up loses an answer and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from contextlib import aclosing, suppress
from datetime import date

from starlette.datastructures import Headers
from starlette.responses import Response

from services.gateway import waiting
from services.gateway.access import Principal
from services.gateway.edge import Edge, answer_for
from services.gateway.problems import UNAVAILABLE
from services.gateway.settings import GatewaySettings
from shared.contract.events import now
from shared.contract.jobs import Job

ASYNC = re.compile(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", re.IGNORECASE)


def moved(schedule: Sequence[tuple[date, int]], key: str, today: date) -> bool:
    """Whether the roll-out has reached a key: it answers at once where a call does not say otherwise.

    A key's place is a hash of its name, so more percent only add keys, and every gateway decides alike.
    """
    percent = max((percent for since, percent in schedule if since <= today), default=0)
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest()) % 100 < percent


def seconds_to_wait(
    settings: GatewaySettings, headers: Headers, wanted: bool | None, *, key: str = "", today: date | None = None
) -> int:
    """How long a submission waits for its job; 0: not at all.

    `wanted` is what `?async=` says; it counts more than `Prefer` (RFC 7240: `respond-async`, `wait=N`), which counts
    more than the setting.
    """
    if wanted is True:
        return 0
    prefer = headers.get("prefer", "")
    wait = waiting.wait_of(prefer)
    if wait is not None:
        return min(wait, settings.sync_seconds)
    if wanted is False:
        return settings.sync_seconds
    if ASYNC.search(prefer):
        return 0
    if not settings.sync_default or moved(settings.roll_out, key, today or now().date()):
        return 0
    return settings.sync_seconds


async def answered(
    edge: Edge, principal: Principal, accepted: Response, headers: Headers, wanted: bool | None
) -> Response:
    """The job once it has ended, with status 200; what was answered at once (202) when it does not end in time.

    Says in `Preference-Applied` what of `Prefer` was done.
    """
    seconds = seconds_to_wait(edge.settings, headers, wanted, key=principal.name)
    edge.calls.count(principal.tenant, principal.name, "waiting" if seconds else "async")
    response = accepted
    job = await ended(edge, principal, job_of(accepted), seconds) if seconds else None
    if job is not None:
        with suppress(*UNAVAILABLE):  # the job is stored: what was answered at once is still true
            response = Response(await answer_for(edge, principal, job), 200, media_type="application/json")
            response.headers["Location"] = f"/jobs/{job.job_id}"
    prefer = headers.get("prefer", "")
    if seconds and waiting.wait_of(prefer) is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    elif not seconds and ASYNC.search(prefer):
        response.headers["Preference-Applied"] = "respond-async"
    return response


def job_of(accepted: Response) -> str:
    """The job that an answer of 202 is about, also one that was given before."""
    return str(json.loads(bytes(accepted.body))["job_id"])


async def ended(edge: Edge, principal: Principal, job_id: str, seconds: float) -> Job | None:
    """The job when it has ended before so many seconds have passed: looked at when it is written, and now and then.

    Raises a 401 problem when the caller's key ends meanwhile. None when the job has not ended, also when NATS goes
    away: the job is stored, and whoever asked for it must learn its id, or he would ask for another one.
    """
    with suppress(*UNAVAILABLE):
        async with aclosing(waiting.turns(edge, principal, job_id, seconds)) as turns:  # type: ignore[type-var]
            async for _ in turns:
                job = await edge.store.job(job_id)
                if job is not None and job.status.terminal:
                    return job
    return None
