"""Shapes of the calls about many jobs or clones at once."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.config import JsonDict

from services.gateway.either import IDS_OR_FILTER, MINUTES_OR_MOMENT, some_of
from services.gateway.exact import Switch
from services.gateway.models import Body, CloneChoices, Filled, TtlMinutes
from services.gateway.models_clones import ExtendRequest
from services.gateway.models_restore import RestoreChoices
from services.gateway.moments import Moment
from services.gateway.problems import Problem, validation
from shared.contract.jobs import Status
from shared.contract.subjects import Kind
from shared.contract.times import Time

MOST = 10_000
"""Jobs or clones of one operation."""
EXAMPLE_ID = "operation-0k3v9x2m7c1p5t8w"

Id = Annotated[Filled, Field(max_length=64)]
Part = Annotated[Filled, Field(max_length=200)]


class RetryChanges(Body):
    """What is wanted otherwise when a job runs again; what is not said stays as it was."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"options": {"exclude_paths": ["wp-content/video"]}}]})

    ttl_minutes: TtlMinutes | None = Field(None, description="Of a clone: minutes it lives.")
    accept_loss: Switch | None = Field(
        None, description="Of a restore: go on although production would lose something."
    )
    options: CloneChoices | RestoreChoices | None = Field(
        None, description="In place of all options the job had: those of `POST /clone`, or of `POST /restore`."
    )

    def of(self, kind: Kind) -> dict[str, Any]:
        """Fields of a command of this kind. Raises a 422 problem for what jobs of this kind do not have."""
        given = self.model_dump(exclude_none=True, include={"ttl_minutes", "accept_loss"})
        foreign = "accept_loss" if kind == "clone" else "ttl_minutes"
        if foreign in given:
            raise _not_of(kind, foreign)
        if self.options is not None:
            model = CloneChoices if kind == "clone" else RestoreChoices
            try:
                given["options"] = model.model_validate(self.options.model_dump(exclude_unset=True)).model_dump()
            except ValidationError as error:
                found = error.errors(include_url=False, include_context=False, include_input=False)
                raise validation([{**each, "loc": ("options", *each["loc"])} for each in found]) from None
        return given


def _not_of(kind: Kind, name: str) -> Problem:
    return Problem(
        422,
        "invalid_request",
        f"The request is not valid: {name} is nothing a {kind} has.",
        hint="Correct these fields.",
        errors=[{"field": name, "message": f"is nothing a {kind} has"}],
    )


class Filter(Body):
    """Which of the tenant's. What is not said does not matter; at least one thing must be said."""

    source: Part | None = Field(None, description="Part of the source's address.")
    q: Part | None = Field(None, description="Words, as GET takes them.")
    created_after: Moment | None = None
    created_before: Moment | None = None

    @property
    def empty(self) -> bool:
        """Whether it would mean everything."""
        return not any(value for _, value in self)


SAID: JsonDict = {"type": "string"}
COMMON: dict[str, JsonDict] = {"source": SAID, "q": SAID, "created_after": SAID, "created_before": SAID}


class JobFilter(Filter):
    """Which jobs, of those that can be retried or cancelled at all."""

    model_config = ConfigDict(
        json_schema_extra=some_of(
            **COMMON, status={"type": "array", "minItems": 1}, type=SAID, target=SAID, batch=SAID, error=SAID
        )
    )

    status: list[Status] | None = Field(None, max_length=len(Status))
    type: Kind | None = None
    target: Part | None = Field(None, description="Part of the address a restore goes to.")
    batch: Id | None = Field(None, description="Id of the batch the jobs belong to.")
    error: Part | None = Field(None, description="Code the job failed with.")


class CloneFilter(Filter):
    """Which clones, of those that are there."""

    model_config = ConfigDict(json_schema_extra=some_of(**COMMON, ends_before=SAID))

    ends_before: Moment | None = Field(None, description="Those whose time is up by then.")


class _Many(Body):
    ids: list[Id] | None = Field(None, min_length=1, max_length=MOST)

    @model_validator(mode="after")
    def _ids_or_filter(self) -> Self:
        if (self.ids is None) == (getattr(self, "filter", None) is None):
            raise ValueError("send either ids or filter")
        return self


class CancelJobs(_Many):
    """Jobs to cancel: these ids, or all that fit."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"batch": "batch-0k3v9x2m7c1p5t00"}}], **IDS_OR_FILTER}
    )

    filter: JobFilter | None = None


class RetryJobs(_Many):
    """Failed jobs to run again: these ids, or all that fit; `changes` are what is wanted otherwise."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"filter": {"error": "source_unreachable"}, "changes": {"ttl_minutes": 2880}}],
            **IDS_OR_FILTER,
        }
    )

    filter: JobFilter | None = None
    changes: RetryChanges | None = None


class DeleteClones(_Many):
    """Clones to delete: these ids, or all that fit."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"filter": {"source": "shop.example.com"}}], **IDS_OR_FILTER}
    )

    filter: CloneFilter | None = None


class ExtendClones(_Many, ExtendRequest):
    """Clones that shall end later, or sooner: these ids, or all that fit."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"ids": ["clone-0k3v9x2m7c1p5t8w"], "ttl_minutes": 10080}],
            "allOf": [IDS_OR_FILTER, MINUTES_OR_MOMENT],
        }
    )

    filter: CloneFilter | None = None


class Action(StrEnum):
    """What an operation does to each of its members."""

    RETRY = "retry"
    CANCEL = "cancel"
    DELETE = "delete"
    EXTEND = "extend"


class OperationStatus(StrEnum):
    """Whether every member has been asked for."""

    RUNNING = "running"
    COMPLETED = "completed"


class Refusal(BaseModel):
    """A member nothing was done to, and why."""

    id: str
    code: str
    message: str


class OperationAnswer(BaseModel):
    """How far an operation on many jobs or clones is. What it asked for is then done job by job."""

    model_config = ConfigDict(json_schema_extra={"examples": [
        {
            "operation_id": EXAMPLE_ID,
            "action": "retry",
            "status": "running",
            "total": 2000,
            "done": 350,
            "refused": 1,
            "refusals": [{"id": "clone-0k3v9x2m7c1p5t8w", "code": "secret_gone", "message": "The login …"}],
            "created_at": "2026-11-29T12:00:00Z",
            "updated_at": "2026-11-29T12:00:01Z",
            "finished_at": None,
            "status_url": f"/operations/{EXAMPLE_ID}",
        }
    ]})  # fmt: skip

    operation_id: str
    action: Action
    status: OperationStatus
    total: int = Field(description="Jobs or clones that were named, or fitted when it was asked for.")
    done: int = Field(description="For so many what was asked for is stored.")
    refused: int = Field(description="For so many it was not possible; `refusals` says which and why.")
    refusals: list[Refusal]
    created_at: Time
    updated_at: Time
    finished_at: Time | None = None
    status_url: str
