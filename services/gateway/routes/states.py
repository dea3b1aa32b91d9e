"""What clones were: reset one, keep what it is as a version, go back to a version."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.gateway import cloner
from services.gateway.domain import same_site
from services.gateway.edge import CloneId, Edge, active_clone, enter
from services.gateway.listing import Look, find
from services.gateway.models import Accepted
from services.gateway.models_states import (
    ForkRequest,
    RefreshRequest,
    ResetRequest,
    Version,
    VersionName,
    VersionRequest,
    Versions,
)
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from services.gateway.routes.submit import STORED, allowed_lane, described, parsed, store
from shared.contract import states
from shared.contract.events import CloneOptions, CloneRequested
from shared.contract.jobs import Clone, CloneAction, Job, Status
from shared.contract.states import MADE, version_state
from shared.ids import new_id
from shared.secrets.vault import SecretGone

router = APIRouter(tags=["clones"])
PATIENCE = 10.0
STATES_SCOPE = "{} POST /clones/{}/{}"


@router.post(
    "/clones/{clone_id}/reset",
    operation_id="resetClone",
    summary="Reset a clone",
    status_code=202,
    response_model=Accepted,
    openapi_extra=described(ResetRequest),
    responses=problem(404, 409, 415, 422, 429, also=STORED),
)
async def reset_clone(request: Request, clone_id: CloneId) -> Response:
    """Have a clone be what it was when it was made, or at one of its versions: files, rows, tables. It keeps its id,
    its address and its login; what was changed since is gone. Answers at once with a job."""
    wish = parsed(ResetRequest, await request.body() or b"{}")
    state = MADE if wish.version is None else version_state(wish.version)
    return await _submit(request, clone_id, CloneAction.RESET, state)


@router.post(
    "/clones/{clone_id}/refresh",
    operation_id="refreshClone",
    summary="Refresh a clone from its site",
    status_code=202,
    response_model=Accepted,
    openapi_extra=described(RefreshRequest),
    responses=problem(404, 409, 415, 422, 429, also=STORED),
)
async def refresh_clone(request: Request, clone_id: CloneId) -> Response:
    """Have a clone be what the site it was made of is now, with the options it was made with. It keeps its id, its
    address and its login. Was it edited since it was made or refreshed, the job ends with `clone_edited`, lists what,
    and changes nothing; with `overwrite` that goes. Answers at once with a job."""
    wish = parsed(RefreshRequest, await request.body())
    return await _submit(request, clone_id, CloneAction.REFRESH, None, wish=wish)


@router.post(
    "/clones/{clone_id}/fork",
    operation_id="forkClone",
    summary="Make a clone of a clone",
    status_code=202,
    response_model=Accepted,
    openapi_extra=described(ForkRequest),
    responses=problem(404, 409, 415, 422, 429, also=STORED),
)
async def fork_clone(request: Request, clone_id: CloneId) -> Response:
    """Have a new clone of what a clone is now: files, rows, tables, with an address, keys and a login of its own. The
    site it came from is not asked. Answers at once with a job; its id is that of the new clone."""
    wish = parsed(ForkRequest, await request.body() or b"{}")
    return await _submit(request, clone_id, CloneAction.FORK, None, name=wish.name, ttl_minutes=wish.ttl_minutes)


@router.post(
    "/clones/{clone_id}/versions",
    operation_id="createVersion",
    summary="Keep what a clone is as a version",
    status_code=202,
    response_model=Accepted,
    openapi_extra=described(VersionRequest),
    responses=problem(404, 409, 415, 422, 429, also=STORED),
)
async def create_version(request: Request, clone_id: CloneId) -> Response:
    """Keep what the clone is now under a name, to go back to it; ten at most. Answers at once with a job."""
    wish = parsed(VersionRequest, await request.body())
    return await _submit(request, clone_id, CloneAction.KEEP, version_state(wish.name))


@router.get(
    "/clones/{clone_id}/versions",
    operation_id="listVersions",
    summary="List what a clone can become again",
    response_model=Versions,
    responses=problem(404, 409),
)
async def list_versions(request: Request, clone_id: CloneId) -> Response:
    """The versions of a clone, by name, and what it was when it was made."""
    edge, principal = enter(request)
    await active_clone(edge, principal, clone_id)
    return _told(await _ask(edge, states.Question(clone_id=clone_id)))


@router.delete(
    "/clones/{clone_id}/versions/{name}",
    operation_id="deleteVersion",
    summary="Delete a version",
    response_model=Versions,
    responses=problem(404, 409, 422),
)
async def delete_version(request: Request, clone_id: CloneId, name: Annotated[VersionName, Path()]) -> Response:
    """Forget a version; the clone stays as it is. Asking twice changes nothing. Answers with those that are left."""
    edge, principal = enter(request)
    await active_clone(edge, principal, clone_id)
    await edge.audit.begin()
    return _told(await _ask(edge, states.Question(clone_id=clone_id, drop=version_state(name))))


async def _submit(
    request: Request,
    clone_id: str,
    action: CloneAction,
    state: str | None,
    *,
    wish: RefreshRequest | None = None,
    **more: Any,
) -> Response:
    edge, principal = enter(request)
    limit = await edge.take(principal)
    clone = await active_clone(edge, principal, clone_id)

    async def accept(job_id: str) -> Response:
        await refuse_while_busy(edge, clone)
        about: dict[str, Any] = {"source_url": clone.clone_url, "ttl_minutes": 0, "name": clone.name}
        if action is CloneAction.FORK:
            about = {"source_url": clone.source_url, **more, "name": more.get("name") or clone.name}
        secret: dict[str, Any] = {"username": clone.username}
        if wish is not None:
            about |= await refreshing(edge, clone, overwrite=wish.overwrite)
            secret = {**wish.credentials(), **login_of(edge, clone, "clone_")}
        command = CloneRequested(
            job_id=job_id,
            lane=allowed_lane(None, principal),
            secret_ref=job_id,
            action=action,
            clone_id=clone_id,
            state=state,
            tenant=principal.tenant,
            **about,
            **principal.share,
        )
        return await store(edge, command, secret, request.state.traceparent)

    response = await edge.idempotency.once(
        request.headers.get("idempotency-key"),
        scope=STATES_SCOPE.format(principal.tenant, clone_id, action),
        body=await request.body(),
        new_id=new_id("clone"),
        action=accept,
    )
    response.headers.update(limit)
    return response


async def refreshing(edge: Edge, clone: Clone, *, overwrite: bool) -> dict[str, Any]:
    """What the command of a refresh says about the clone and its site."""
    made = await edge.store.command(clone.clone_id)
    return {
        "source_url": clone.source_url,
        "target_url": clone.clone_url,
        "overwrite": overwrite,
        "options": made.options if isinstance(made, CloneRequested) else CloneOptions(),
    }


def login_of(edge: Edge, clone: Clone, prefix: str) -> dict[str, str]:
    """The clone's own administrator. Raises a 409 problem when its password can not be opened any more."""
    try:
        password = edge.keys.open(clone.sealed_password, purpose=clone.clone_id)
    except SecretGone as gone:
        raise Problem(
            409,
            gone.code,
            "The clone's password can not be opened with the keys of this installation.",
            hint="Restore it by its address, as source_url with a login of your own, or make a new clone.",
        ) from None
    return {f"{prefix}username": clone.username, f"{prefix}password": password}


async def refuse_while_busy(edge: Edge, clone: Clone, *, restoring: bool = True) -> None:
    """Raises a 409 problem while a job puts the clone back or keeps what it is; or (`restoring`) restores from it."""
    await edge.jobs.refresh()

    def busy(job: Job) -> bool:
        if job.tenant != clone.tenant:
            return False
        if job.action is CloneAction.REFRESH:
            return same_site(job.target_url, clone.clone_url)
        puts = job.action in {CloneAction.RESET, CloneAction.KEEP} or (restoring and job.type == "restore")
        return puts and same_site(job.source_url, clone.clone_url)

    look: Look[Any] = Look(
        wanted=busy, state=lambda job: job.status, states=frozenset({Status.PENDING, Status.RUNNING}), limit=1
    )
    for job in find(edge.jobs, look).items:
        raise Problem(
            409,
            "clone_busy",
            f"Another job is at work on this clone: {job.job_id}.",
            hint="Wait until it has ended, or cancel it.",
        )


async def _ask(edge: Edge, question: states.Question) -> states.Reply:
    reply = await cloner.ask(edge, "states", question, states.Reply, seconds=PATIENCE)
    if reply is not None and reply.refused == "not_offered":
        raise Problem(
            409, "not_offered", "Clones that live in a cluster have no versions.", hint="Make a new clone instead."
        )
    if reply is None or reply.refused:
        raise cloner.away("knows a clone's versions", hint="Try again in a moment.")
    return reply


def _told(reply: states.Reply) -> Response:
    told = {
        state.name: Version(
            name=state.name.removeprefix(states.VERSION),
            made_at=state.made_at,
            files=state.files,
            bytes=state.bytes,
            tables=state.tables,
        )
        for state in reply.states
    }
    versions = [version for name, version in told.items() if states.is_version(name)]
    answer = Versions(versions=versions, made=told.get(MADE))
    return Response(answer.model_dump_json(), media_type="application/json")
