"""GET /statistics: figures about jobs, for people who run this."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from services.gateway.calls import CallsAnswer
from services.gateway.edge import enter
from services.gateway.routes.responses import problem
from services.gateway.statistics import Statistics, Window, count
from shared.contract.events import now

router = APIRouter(tags=["jobs"])


@router.get(
    "/statistics",
    operation_id="getStatistics",
    summary="Count jobs of an hour or a day",
    response_model=Statistics,
    responses=problem(),
)
async def get_statistics(
    request: Request,
    window: Annotated[Window, Query(description="The last hour, or the last day.")] = "hour",
) -> Response:
    """Throughput, queues and waits by lane, success rate, how long jobs took, failures by code: of your tenant's jobs,
    which without API keys are all."""
    edge, principal = enter(request)
    await edge.jobs.refresh()
    figures = count(edge.recent.of(principal.tenant), window=window, until=now())
    return Response(figures.model_dump_json(), media_type="application/json")


@router.get(
    "/statistics/calls",
    operation_id="getCalls",
    summary="See who submits how",
    response_model=CallsAnswer,
    responses=problem(),
)
async def get_calls(request: Request) -> Response:
    """Submissions of the last 30 days by your tenant's keys and form of call: who still has to move comes first."""
    edge, principal = enter(request)
    return Response((await edge.calls.of(principal.tenant)).model_dump_json(), media_type="application/json")
