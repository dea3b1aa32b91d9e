"""Shapes of the calls about batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.gateway.batch import BatchStatus, with_defaults
from services.gateway.models import (
    BasicAuth,
    Body,
    CloneChoices,
    CloneRequest,
    LoginUrl,
    Name,
    PairingKey,
    Password,
    Priority,
    TtlMinutes,
    Username,
)
from shared.bus.batch import MOST
from shared.contract.jobs import Phase, Status
from shared.contract.times import Time

EXAMPLE_ID = "batch-0k3v9x2m7c1p5t00"
MEMBERS = tuple(f"clone-0k3v9x2m7c1p5t0{number}" for number in range(2))


class CloneDefaults(Body):
    """What holds for every clone of a batch that does not say otherwise."""

    username: Username | None = None
    password: Password | None = None
    pairing_key: PairingKey | None = None
    login_url: LoginUrl | None = None
    basic_auth: BasicAuth | None = None
    ttl_minutes: TtlMinutes | None = None
    name: Name | None = None
    priority: Priority = None
    options: CloneChoices | None = None


class BatchRequest(Body):
    """Up to 1,000 clones, all accepted or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "defaults": {"username": "agency", "ttl_minutes": 2880, "priority": "low"},
                    "clones": [
                        {"source_url": "https://shop.example.com", "password": "correct horse battery staple"},
                        {"source_url": "https://blog.example.com", "pairing_key": "sf1_…", "name": "Blog"},
                    ],
                }
            ]
        }
    )

    defaults: CloneDefaults | None = None
    clones: list[CloneRequest] = Field(
        min_length=1, max_length=MOST, description="Each like the body of POST /clone, on top of the defaults."
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_defaults(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not isinstance(common := data.get("defaults"), Mapping):
            return data
        clones = [with_defaults(clone, common) if isinstance(clone, Mapping) else clone for clone in data["clones"]]
        return {**data, "clones": clones}


class Envelope(Body):
    """A `BatchRequest` looked at from outside: what is wrong with the defaults is said once, not for every clone."""

    defaults: CloneDefaults | None = None
    clones: list[dict[str, Any]] = Field(min_length=1, max_length=MOST)


class BatchLinks(BaseModel):
    """Where to go from here."""

    self: str
    cancel: str


class BatchAccepted(BaseModel):
    """A batch was accepted: every job of it is stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [
        {
            "batch_id": EXAMPLE_ID,
            "status": "pending",
            "total": 2,
            "status_url": f"/batches/{EXAMPLE_ID}",
            "job_ids": list(MEMBERS),
            "links": {"self": f"/batches/{EXAMPLE_ID}", "cancel": f"/batches/{EXAMPLE_ID}/cancel"},
        }
    ]})  # fmt: skip

    batch_id: str
    status: BatchStatus
    total: int
    status_url: str
    job_ids: list[str] = Field(description="In the order of the request.")
    links: BatchLinks


class BatchSummary(BaseModel):
    """A batch in a list."""

    batch_id: str
    status: BatchStatus
    phase: Phase | None = Field(description="`cancelling` while every job that has not ended is being cancelled.")
    progress: float = Field(ge=0, le=100, description="Mean of the jobs' progress; an ended job counts whole.")
    total: int
    counts: dict[Status, int] = Field(description="Jobs by status.")
    created_at: Time
    started_at: Time | None = Field(description="When the first job began.")
    updated_at: Time
    finished_at: Time | None = Field(description="When the last job ended.")
    links: BatchLinks


class BatchJob(BaseModel):
    """A job of a batch."""

    job_id: str
    status: Status
    phase: Phase | None
    progress: float
    source_url: str
    name: str | None
    message: str
    error: str | None = Field(description="Code of the error of a failed job.")


class BatchAnswer(BatchSummary):
    """A batch with its jobs, in the order of the request."""

    jobs: list[BatchJob]


class BatchPage(BaseModel):
    """Batches, newest first."""

    batches: list[BatchSummary]
    next_cursor: str | None = Field(description="Send as `cursor` to get the next page; null on the last one.")
