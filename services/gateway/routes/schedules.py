"""Schedules: clones that are made again and again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from nats.js.errors import KeyWrongLastSequenceError
from starlette.responses import Response

from services.gateway.access import Principal
from services.gateway.domain import same_site
from services.gateway.edge import Edge, active_clone, enter
from services.gateway.models_schedules import (
    MESSAGES,
    LastRun,
    LastSkip,
    ScheduleAnswer,
    ScheduleList,
    ScheduleRequest,
)
from services.gateway.problems import Problem
from services.gateway.routes.responses import Responses, problem
from services.gateway.routes.submit import allowed_lane, described, parsed
from services.gateway.schedules.owner import holder, owner
from services.gateway.schedules.record import Schedule, ScheduleState, Skipped, Wish
from services.gateway.schedules.store import Kept, NotTaken
from shared.contract.events import now
from shared.contract.jobs import Job
from shared.ids import new_id

router = APIRouter(tags=["schedules"])

SCOPE = "{} POST /schedules"
MADE: Responses = {
    201: {
        "description": "Stored",
        "headers": {"Location": {"description": "Where the schedule is.", "schema": {"type": "string"}}},
    }
}
Id = Annotated[
    str,
    Path(description="The schedule's id, like schedule-0k3v9x2m7c1p5t8w.", pattern=r"^schedule-[0-9a-z]{16}$"),
]


@router.post(
    "/schedules",
    operation_id="createSchedule",
    summary="Clone a site again and again",
    status_code=201,
    response_model=ScheduleAnswer,
    openapi_extra=described(ScheduleRequest),
    responses=problem(403, 404, 409, 415, 422, 429, also=MADE),
)
async def create_schedule(request: Request) -> Response:
    """Have a clone made, or one refreshed, each time a cron expression is due, as if that were asked for with this API
    key in that moment.

    The login is kept, sealed, for as long as the schedule is there. A time at which the job before is still going is
    left out; of what is missed while Siteferry is away, one is made up for.
    """
    edge, principal = enter(request)
    body = await request.body()
    wish, limit = await _taken(edge, principal, body)

    async def accept(schedule_id: str) -> Response:
        made = await _create(edge, _record(edge, principal, wish, schedule_id))
        answer = (await _told(edge, made, {})).model_dump_json()
        return Response(answer, 201, {"Location": f"/schedules/{schedule_id}"}, media_type="application/json")

    response = await edge.idempotency.once(
        request.headers.get("idempotency-key"),
        scope=SCOPE.format(principal.tenant),
        body=body,
        new_id=new_id("schedule"),
        action=accept,
    )
    response.headers.update(limit)
    return response


@router.get(
    "/schedules",
    operation_id="listSchedules",
    summary="List schedules",
    response_model=ScheduleList,
    responses=problem(),
)
async def list_schedules(request: Request) -> Response:
    """The schedules of your tenant, oldest first."""
    edge, principal = enter(request)
    schedules = await edge.schedules.of(principal.tenant)
    jobs = await edge.store.jobs({each.run.job_id: None for each in schedules if each.run})
    told = [await _told(edge, schedule, jobs) for schedule in schedules]
    return Response(ScheduleList(schedules=told).model_dump_json(), media_type="application/json")


@router.get(
    "/schedules/{schedule_id}",
    operation_id="getSchedule",
    summary="Look at a schedule",
    response_model=ScheduleAnswer,
    responses=problem(404),
)
async def get_schedule(request: Request, schedule_id: Id) -> Response:
    """One schedule: when it is due next, the last job it made, and the last time it made none."""
    edge, principal = enter(request)
    return await _answer(edge, (await _owned(edge, principal, schedule_id)).schedule)


@router.put(
    "/schedules/{schedule_id}",
    operation_id="replaceSchedule",
    summary="Replace a schedule",
    response_model=ScheduleAnswer,
    openapi_extra={"requestBody": described(ScheduleRequest)["requestBody"]},
    responses=problem(403, 404, 409, 415, 422, 429),
)
async def replace_schedule(request: Request, schedule_id: Id) -> Response:
    """Put a new wish, with its login, in place of what it was; it keeps its id, and begins again if it was paused or
    stopped. The login it had is forgotten; from now on it belongs to the API key of this call."""
    edge, principal = enter(request)
    wish, limit = await _taken(edge, principal, await request.body())
    kept = await _owned(edge, principal, schedule_id)
    fresh = _record(edge, principal, wish, schedule_id)
    old = kept.schedule
    history = {"created_at": old.created_at, "run": old.run, "skip": old.skip, "skips": old.skips}
    changed = fresh.model_copy(update=history)
    await _plan(edge, changed)  # first: what the server refuses changes nothing
    return await _change(edge, kept, changed, limit)


@router.delete(
    "/schedules/{schedule_id}",
    operation_id="deleteSchedule",
    summary="Delete a schedule",
    status_code=204,
    responses=problem(404, 429),
)
async def delete_schedule(request: Request, schedule_id: Id) -> Response:
    """Make no more clones, and forget the login. Jobs and clones that were made stay as they are."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    await edge.schedules.forget((await _owned(edge, principal, schedule_id)).schedule)
    return Response(status_code=204, headers=limit)


@router.post(
    "/schedules/{schedule_id}/pause",
    operation_id="pauseSchedule",
    summary="Pause a schedule",
    response_model=ScheduleAnswer,
    responses=problem(404, 409, 429),
)
async def pause_schedule(request: Request, schedule_id: Id) -> Response:
    """Make no clones until it is resumed. What is due meanwhile is not made up for. Pausing twice changes nothing."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    kept = await _owned(edge, principal, schedule_id)
    changed = kept.schedule.model_copy(update={"paused": True, "updated_at": now()})
    response = await _change(edge, kept, changed, limit)
    await edge.schedules.unplan(changed.entry)
    return response


@router.post(
    "/schedules/{schedule_id}/resume",
    operation_id="resumeSchedule",
    summary="Resume a schedule",
    response_model=ScheduleAnswer,
    responses=problem(404, 409, 422, 429),
)
async def resume_schedule(request: Request, schedule_id: Id) -> Response:
    """Let a paused or stopped schedule make clones again. From now on it belongs to the API key of this call."""
    edge, principal = enter(request)
    limit = await edge.take(principal)
    kept = await _owned(edge, principal, schedule_id)
    await _check_clone(edge, principal, kept.schedule.wish)
    at = now()
    update = {"paused": False, "stopped": None, "holder": holder(principal), "since": at, "updated_at": at}
    changed = kept.schedule.model_copy(update=update)
    await _plan(edge, changed)
    return await _change(edge, kept, changed, limit)


async def _taken(edge: Edge, principal: Principal, body: bytes) -> tuple[ScheduleRequest, dict[str, str]]:
    """A wish that may be stored, and the headers of the rate limit. Raises the problem of whatever is wrong with it."""
    wish = parsed(ScheduleRequest, body)
    allowed_lane(wish.priority, principal)
    _check_often(edge, wish)
    limit = await edge.take(principal)
    await _check_clone(edge, principal, wish)
    return wish, limit


def _record(edge: Edge, principal: Principal, wish: ScheduleRequest, schedule_id: str) -> Schedule:
    at = now()
    return Schedule(
        id=schedule_id,
        tenant=principal.tenant,
        holder=holder(principal),
        cron=wish.cron,
        pattern=wish.plan.pattern,
        timezone=wish.timezone,
        wish=Wish(
            source_url=wish.source_url,
            ttl_minutes=wish.ttl_minutes,
            name=wish.name,
            priority=wish.priority,
            options=wish.options,
            clone_id=wish.clone_id,
            overwrite=wish.overwrite,
        ),
        sealed=edge.vault.sealed(wish.credentials(), purpose=schedule_id),
        since=at,
        created_at=at,
        updated_at=at,
    )


async def _check_clone(edge: Edge, principal: Principal, wish: ScheduleRequest | Wish) -> None:
    """Raises a 404, 409 or 422 problem when there is no such clone of that site to be refreshed."""
    if wish.clone_id is None:
        return
    clone = await active_clone(edge, principal, wish.clone_id)
    if not same_site(clone.source_url, wish.source_url):
        raise Problem(
            422,
            "invalid_request",
            f"The request is not valid: the clone was made of {clone.source_url}, not of {wish.source_url}.",
            hint="Send the address of the site it was made of.",
        )


def _check_often(edge: Edge, wish: ScheduleRequest) -> None:
    least = edge.settings.schedule_least_seconds
    if (shortest := wish.plan.shortest()) < least:
        raise Problem(
            422,
            "schedule_too_often",
            f"It would be due every {_span(shortest)}; {_span(least)} must lie between two times.",
            hint="Choose times further apart; an operator may allow less with SITEFERRY_SCHEDULE_LEAST_SECONDS.",
        )


def _span(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


async def _create(edge: Edge, schedule: Schedule) -> Schedule:
    """Store it, within what a tenant may have. Asking again with its id gives what is there."""
    most = edge.settings.schedules_most
    with suppress(KeyWrongLastSequenceError):  # an earlier request stored it, and could not say so
        await edge.schedules.create(schedule)
    before = [other for other in await edge.schedules.of(schedule.tenant) if other.id != schedule.id]
    if len(before) >= most:  # counted after it is there, so that of many who ask at once no more than that get in
        await edge.schedules.forget(schedule)
        raise Problem(
            409,
            "too_many_schedules",
            f"A tenant has at most {most} schedules.",
            hint="Delete one first; an operator may allow more with SITEFERRY_SCHEDULES_MOST.",
        )
    try:
        await _plan(edge, schedule)
    except Problem:
        await edge.schedules.forget(schedule)
        raise
    return schedule


async def _plan(edge: Edge, schedule: Schedule) -> None:
    try:
        await edge.schedules.plan(schedule)
    except NotTaken as error:
        raise Problem(
            422,
            "invalid_request",
            f"The request is not valid: nats-server does not take this {error}.",
            hint="Write the expression in plain fields, or choose another time zone; UTC is always known.",
        ) from None


async def _change(edge: Edge, kept: Kept, schedule: Schedule, limit: dict[str, str]) -> Response:
    try:
        await edge.schedules.change(kept, schedule)
    except KeyWrongLastSequenceError:
        raise Problem(
            409,
            "schedule_changed",
            "The schedule was changed, or made a job, in this moment.",
            hint="Look at it again, and repeat what is still needed.",
        ) from None
    response = await _answer(edge, schedule)
    response.headers.update(limit)
    return response


async def _owned(edge: Edge, principal: Principal, schedule_id: str) -> Kept:
    kept = await edge.schedules.get(principal.tenant, schedule_id)
    if kept is None:
        raise Problem(404, "schedule_not_found", "There is no such schedule.", hint="GET /schedules lists them.")
    return kept


async def _answer(edge: Edge, schedule: Schedule) -> Response:
    jobs = await edge.store.jobs({schedule.run.job_id: None}) if schedule.run else {}
    return Response((await _told(edge, schedule, jobs)).model_dump_json(), media_type="application/json")


async def _told(edge: Edge, schedule: Schedule, jobs: Mapping[str, Job]) -> ScheduleAnswer:
    """The schedule as its tenant sees it: stopped as soon as its key has ended, whenever it is due next; how its last
    job goes, if that is among `jobs`."""
    stopped = schedule.stopped
    if stopped is None and await owner(edge.callers, schedule, keys_needed=edge.settings.keys_needed) is None:
        stopped = Skipped.KEY_ENDED
    state = ScheduleState.STOPPED if stopped else schedule.state
    run, skip = schedule.run, schedule.skip
    job = jobs.get(run.job_id) if run else None
    about: dict[str, Any] = schedule.wish.model_dump()
    return ScheduleAnswer(
        schedule_id=schedule.id,
        state=state,
        message=MESSAGES[stopped] if stopped else "",
        cron=schedule.cron,
        timezone=schedule.timezone,
        next_at=schedule.plan.following(now()) if state is ScheduleState.ACTIVE else None,
        last_run=LastRun(
            due_at=run.due_at, job_id=run.job_id, status=job.status if job else None, phase=job.phase if job else None
        )
        if run
        else None,
        last_skip=LastSkip(due_at=skip.due_at, code=skip.code, message=MESSAGES[skip.code], job_id=skip.job_id)
        if skip
        else None,
        skips=schedule.skips,
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
        **about,
    )
