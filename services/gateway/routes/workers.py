"""GET /workers: who works, and on what. For operators."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from services.gateway import reader
from services.gateway.edge import Edge, enter
from services.gateway.problems import Problem
from services.gateway.routes.responses import problem
from shared.contract import streams
from shared.contract.subjects import Kind
from shared.contract.times import Time
from shared.contract.workers import WorkerState

router = APIRouter(tags=["operations"])


class WorkerJob(BaseModel):
    """A job in a worker's hands."""

    job_id: str
    tenant: str | None
    source_url: str | None
    progress: float | None = Field(description="Percent.")
    message: str | None = Field(description="What it does, in words.")
    started_at: Time | None


class WorkerAnswer(BaseModel):
    """One worker."""

    id: str
    type: Kind = Field(description="Of the jobs it takes.")
    slots: int = Field(description="Jobs it runs at the same time; one or two more of tenants that have none running.")
    jobs: list[WorkerJob]
    free_bytes: int | None = Field(description="On the disk of its clones; null: it holds none.")
    started_at: Time
    said_at: Time = Field(description="When it was last heard of; after 15 seconds of silence it is not listed.")


class Workers(BaseModel):
    """All that were heard of in the last seconds."""

    workers: list[WorkerAnswer]
    log_bytes: int = Field(description="Bytes of the jobs' log.")


@router.get(
    "/workers",
    operation_id="listWorkers",
    summary="See who works on what",
    response_model=Workers,
    responses=problem(403),
)
async def list_workers(request: Request) -> Response:
    """Workers with their slots, the jobs in them, and room on their disks. For operators: it tells of all tenants."""
    edge, principal = enter(request)
    if not principal.operator:
        raise Problem(
            403, "operator_needed", "Only operators see all workers.", hint="GET /statistics counts your own jobs."
        )
    stored = await reader.read_all(edge.bus.nc, f"KV_{streams.WORKERS}", f"$KV.{streams.WORKERS}.>")
    logs = await asyncio.gather(*(edge.bus.js.stream_info(name) for name in streams.STREAMS.values()))
    states = sorted((state for line in stored if (state := _read(line.data))), key=lambda state: (state.kind, state.id))
    found = await asyncio.gather(*(_shown(edge, state) for state in states))
    body = Workers(workers=list(found), log_bytes=sum(info.state.bytes for info in logs))
    return Response(body.model_dump_json(), media_type="application/json")


async def _shown(edge: Edge, state: WorkerState) -> WorkerAnswer:
    jobs = await asyncio.gather(*(_job(edge, job_id) for job_id in state.jobs))
    return WorkerAnswer(type=state.kind, jobs=list(jobs), **state.model_dump(exclude={"kind", "jobs"}))


async def _job(edge: Edge, job_id: str) -> WorkerJob:
    job = await edge.store.job(job_id)
    if job is None:
        return WorkerJob(job_id=job_id, tenant=None, source_url=None, progress=None, message=None, started_at=None)
    return WorkerJob(
        job_id=job_id,
        tenant=job.tenant,
        source_url=job.source_url,
        progress=job.progress,
        message=job.message,
        started_at=job.started_at,
    )


def _read(data: bytes) -> WorkerState | None:
    try:
        return WorkerState.model_validate_json(data)
    except ValidationError:  # the mark of one that is gone is empty
        return None
