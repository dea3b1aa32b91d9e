"""Shapes of calls that change a clone's life."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator

from services.gateway.either import MINUTES_OR_MOMENT
from services.gateway.models import Body, TtlMinutes
from services.gateway.moments import Moment


class ExtendRequest(Body):
    """How long a clone shall live: `ttl_minutes` from now, or until `expires_at`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ttl_minutes": 2880}], **MINUTES_OR_MOMENT})

    ttl_minutes: TtlMinutes | None = None
    expires_at: Moment | None = Field(None, description="With time zone; at most 30 days from now.")

    @model_validator(mode="after")
    def _one_of_both(self) -> ExtendRequest:
        if (self.ttl_minutes is None) == (self.expires_at is None):
            raise ValueError("send either ttl_minutes or expires_at")
        return self
