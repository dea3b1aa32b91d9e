"""Shapes of the REST API about schedules."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from services.gateway.either import LOGIN_OR_KEY, needs
from services.gateway.exact import Switch
from services.gateway.models import CloneRequest, Text
from services.gateway.schedules.plan import Plan
from services.gateway.schedules.record import ScheduleState, Skipped
from shared.contract.events import CloneOptions
from shared.contract.jobs import Phase, Status
from shared.contract.subjects import Lane
from shared.contract.times import Time

CRON_MOST = 200
EXAMPLE_SCHEDULE = "schedule-0k3v9x2m7c1p5t8w"

Cron = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=CRON_MOST,
        description="Minute, hour, day of the month, month, day of the week, like `30 2 * * 1-5`; six fields begin "
        "with seconds. Or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.",
        json_schema_extra={"format": "cron"},
    ),
]
TimeZone = Annotated[
    str,
    StringConstraints(min_length=1, max_length=60),
    Field(
        description="The IANA time zone the expression is meant in, like `Europe/Berlin`.",
        json_schema_extra={"format": "time-zone"},
    ),
]


class ScheduleRequest(CloneRequest):
    """The wish to clone a site, or to refresh a clone of it, again and again: what that takes, and when."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source_url": "https://shop.example.com",
                    "username": "admin",
                    "password": "correct horse battery staple",
                    "ttl_minutes": 1440,
                    "name": "Shop, every night",
                    "cron": "30 2 * * *",
                    "timezone": "Europe/Berlin",
                },
                {
                    "source_url": "https://shop.example.com",
                    "pairing_key": "sf1_…",
                    "clone_id": "clone-0k3v9x2m7c1p5t8w",
                    "cron": "@weekly",
                },
            ],
            **LOGIN_OR_KEY,
            "allOf": [needs("overwrite", True, clone_id={"type": "string"})],
        }
    )

    cron: Cron
    timezone: TimeZone = "UTC"
    clone_id: Text | None = Field(
        None,
        max_length=40,
        description="Refresh this clone each time, instead of making a new one. It keeps its name, end and options, "
        "so none of them is sent; `source_url` is the site it was made of.",
    )
    overwrite: Switch = Field(
        False,
        description="Of a refresh: what was edited in the clone may go. Without it, an edited clone stays as it is.",
    )

    @model_validator(mode="after")
    def _a_clone_keeps_what_it_has(self) -> Self:
        if self.clone_id is None:
            if self.overwrite:
                raise ValueError("overwrite is about a refresh: send the clone_id of the clone, too")
            return self
        fields = type(self).model_fields
        for name in ("name", "ttl_minutes", "options"):
            if getattr(self, name) != fields[name].get_default(call_default_factory=True):
                raise ValueError(f"a refresh keeps the clone's {name}: leave it out, or leave out clone_id")
        return self

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        Plan.check_zone(value)
        return value

    @field_validator("cron")
    @classmethod
    def _understood(cls, value: str) -> str:
        Plan.read(value, "UTC")
        return value

    @property
    def plan(self) -> Plan:
        """When it is due."""
        return Plan.read(self.cron, self.timezone)


class LastRun(BaseModel):
    """The last job it made."""

    due_at: Time
    job_id: str
    status: Status | None = Field(None, description="Of that job; null when it is no longer known.")
    phase: Phase | None = Field(None, description="Why a pending or running job does not simply run.")


class LastSkip(BaseModel):
    """The last time it was due and made no job."""

    due_at: Time
    code: Skipped
    message: str
    job_id: str | None = Field(description="The job of the time before, when it was still going.")


class ScheduleAnswer(BaseModel):
    """A schedule. Its login is never shown."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "schedule_id": EXAMPLE_SCHEDULE,
                    "state": "active",
                    "message": "",
                    "cron": "30 2 * * *",
                    "timezone": "Europe/Berlin",
                    "next_at": "2026-12-01T01:30:00.000000Z",
                    "source_url": "https://shop.example.com",
                    "name": "Shop, every night",
                    "ttl_minutes": 1440,
                    "options": {},
                    "last_run": {
                        "due_at": "2026-11-30T01:30:00.000000Z",
                        "job_id": "clone-0k3v9x2m7c1p5t8w",
                        "status": "completed",
                    },
                    "skips": 0,
                    "created_at": "2026-11-29T12:00:00.000000Z",
                    "updated_at": "2026-11-29T12:00:00.000000Z",
                }
            ]
        }
    )

    schedule_id: str
    state: ScheduleState
    message: str = Field(description="Why it is stopped, and what to do; else empty.")
    cron: str
    timezone: str
    next_at: Time | None = Field(None, description="When it is due next; null while it is paused or stopped.")
    source_url: str
    name: str | None = None
    ttl_minutes: int
    priority: Lane | None = None
    options: CloneOptions
    clone_id: str | None = Field(None, description="The clone it refreshes; null when it makes new ones.")
    overwrite: bool = False
    last_run: LastRun | None = None
    last_skip: LastSkip | None = None
    skips: int = Field(description="Times it was due and made no job.")
    created_at: Time
    updated_at: Time = Field(description="When it was made, replaced, paused or resumed last.")


class ScheduleList(BaseModel):
    """The tenant's schedules, oldest first."""

    schedules: list[ScheduleAnswer]


MESSAGES: dict[Skipped, str] = {
    Skipped.OVERLAP: "The job before it was still going, or another one about its clone.",
    Skipped.KEY_ENDED: "The API key it was made with has ended or may not submit. Resume it with another key.",
    Skipped.CLONE_GONE: "The clone it refreshes is gone. Delete the schedule, or replace it by one for another clone.",
}
