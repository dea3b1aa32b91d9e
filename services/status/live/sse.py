"""`/jobs/{id}/events`: one job's changes as server-sent events, or its story as JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Header, Query, Request
from nats.errors import Error as NatsError
from starlette.responses import JSONResponse, Response, StreamingResponse

from services.status import story
from services.status.access import UNREADABLE, Grant
from services.status.live import frames
from services.status.live.journal import Journal
from services.status.live.session import Session
from services.status.live.websocket import refuse
from services.status.problems import not_taken, problem, unavailable
from services.status.service import Service
from shared.ids import is_job_id
from shared.web import unknown_parameters

KEEP_ALIVE = 6.0
"""Seconds of silence after which a sign of life is sent: proxies keep the connection, clients notice its end."""
RETRY_MS = 1000
CHALLENGE = {"WWW-Authenticate": "Bearer"}
SUB = "job"
TAKES = {"after", "limit"}
PING = "event: ping\ndata: {}\n\n"
"""A browser tells its page of events only, so that silence is noticed."""

router = APIRouter()


@router.get("/jobs/{job_id}/events", response_model=None)
async def events(
    request: Request,
    job_id: str,
    accept: str = Header("*/*"),
    last_event_id: str | None = Header(None),
    after: int = Query(0, ge=0),
    limit: int = Query(500, ge=1, le=1000),
) -> Response:
    """Live changes from now on, or from `Last-Event-ID` on; with `Accept: application/json` what happened so far."""
    if unknown := unknown_parameters(request.scope["query_string"], TAKES):
        names = f"{', '.join(unknown[:5])} is no parameter of this address"
        return not_taken(request.scope, names, "It takes after, limit.")
    service: Service = request.app.state.service
    refusal = refuse(service, request.scope)
    if refusal is not None:
        return refusal
    try:
        grant = await service.doorman.of_request(request)
    except UNREADABLE:
        return unavailable(request.scope)
    if grant is None:
        return problem(401, "unauthenticated", "This call needs a valid API key.", request.scope, CHALLENGE)
    if not is_job_id(job_id):
        return problem(404, "job_not_found", "There is no such job.", request.scope)
    if "application/json" in accept:
        return await _journal(request, service, grant, job_id, after, limit)
    return await _stream(request, service, grant, job_id, cursor_of(last_event_id))


async def _journal(request: Request, service: Service, grant: Grant, job_id: str, after: int, limit: int) -> Response:
    assert service.bus is not None
    journal = Journal(limit)
    tenant: str | None = None
    try:
        async for entry in story.read(service.bus.nc, job_id):
            journal.add(entry)
            tenant = tenant or getattr(getattr(entry.message, "job", None), "tenant", None)
            tenant = tenant or getattr(entry.message, "tenant", None)
    except (NatsError, TimeoutError):
        return unavailable(request.scope)
    if not journal.found or not grant.scope.sees(tenant or "", job_id):
        return problem(404, "job_not_found", "There is no such job.", request.scope)
    return JSONResponse(journal.page(after), headers={"Cache-Control": "no-store"})


async def _stream(
    request: Request, service: Service, grant: Grant, job_id: str, after: frames.Cursor | None
) -> Response:
    assert service.hub is not None
    session = Session(service.hub, grant.scope)
    session.grant = grant
    await session.subscribe(SUB, job=job_id, after=after)
    if SUB not in session.subs:
        refused = json.loads((await session.due(0.1))[0])
        if refused["code"] == "not_found":
            return problem(404, "job_not_found", refused["message"], request.scope)
        return unavailable(request.scope, refused["message"])
    if after is not None and session.outbox.idle and service.hub.ended(job_id):
        session.end()
        return Response(status_code=204)  # which tells a browser not to come back: it has everything
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    frames_of = send(session, service, job_id)
    return StreamingResponse(frames_of, media_type="text/event-stream", headers=headers)


async def send(session: Session, service: Service, job_id: str) -> AsyncIterator[str]:
    """The session's frames as server-sent events. Data is the frame of the WebSocket protocol."""
    assert service.hub is not None
    with service.live.member(session, "sse"):
        yield f"retry: {RETRY_MS}\n\n"
        while True:
            texts = await session.due(KEEP_ALIVE)
            if not texts and session.closing is None and not service.hub.ended(job_id):
                yield PING
            for text in texts:
                yield event(text, service.hub.epoch(job_id))
            if session.outbox.idle and (session.closing is not None or service.hub.ended(job_id)):
                return


def event(text: str, epoch: str) -> str:
    """One frame as a server-sent event; its id is the cursor to resume from."""
    frame = json.loads(text)
    lines = [f"event: {frame['type']}", f"data: {text}"]
    if "seq" in frame:
        lines.insert(0, f"id: {frame['seq']}-{epoch}")
    if frame["type"] == "bye":
        lines.append(f"retry: {frame['reconnect_ms']}")
    return "\n".join(lines) + "\n\n"


def cursor_of(last_event_id: str | None) -> frames.Cursor | None:
    """The cursor in a Last-Event-ID; None when it is not one of ours."""
    seq, _, epoch = (last_event_id or "").partition("-")
    return frames.Cursor(seq=int(seq), epoch=epoch) if seq.isdecimal() and len(seq) < 20 and len(epoch) <= 64 else None
