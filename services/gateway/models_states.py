"""Shapes of the REST API about what clones were."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.gateway.either import LOGIN_OR_KEY
from services.gateway.exact import Switch
from services.gateway.models import TTL_DEFAULT, Body, Name, TtlMinutes, WayIn
from shared.contract.states import NAME_PATTERN
from shared.contract.times import Time

VersionName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]


class ResetRequest(Body):
    """What the clone shall be again."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"version": "before-update"}]})

    version: VersionName | None = Field(None, description="One of its versions; default: what it was when it was made.")


class VersionRequest(Body):
    """How what the clone is now shall be called."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "before-update"}]})

    name: VersionName = Field(description="Small letters, digits and hyphens; 40 at most.")


class RefreshRequest(WayIn):
    """The way in to the clone's source, and whether what was edited in the clone may go."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"username": "admin", "password": "correct horse battery staple"},
                {"pairing_key": "sf1_…", "overwrite": True},
            ],
            **LOGIN_OR_KEY,
        }
    )

    overwrite: Switch = Field(
        False,
        description="What was edited in the clone may go. Without it a clone that was edited stays as it is: the job "
        "ends with `clone_edited`, and its details list what.",
    )


class ForkRequest(Body):
    """How the new clone is called, and how long it lives."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"name": "Try the new theme", "ttl_minutes": 2880}]})

    name: Name | None = None
    ttl_minutes: TtlMinutes = TTL_DEFAULT


class Version(BaseModel):
    """What a clone was at one moment."""

    name: str
    made_at: Time | None = Field(description="Null: what is stored of it is damaged.")
    files: int
    bytes: int = Field(description="Of files and tables.")
    tables: int


class Versions(BaseModel):
    """What a clone can become again."""

    versions: list[Version]
    made: Version | None = Field(description="What it was when it was made; null: it can not be reset to that.")
