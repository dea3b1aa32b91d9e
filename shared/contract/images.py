"""Images of sources, as gateway and cloner speak of them: `rpc.cloner.images`, answered at once."""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.contract.times import Time


class Question(BaseModel):
    """Which images does this tenant have? `drop`: remove this one of them first."""

    tenant: str
    drop: str | None = None


class Told(BaseModel):
    """What a source was when a clone of it was made: further clones begin with it."""

    image_id: str
    source: str
    """Home address of the site."""
    made_at: Time
    used_at: Time
    """When a clone last began with it."""
    expires_at: Time
    files: int
    bytes: int
    """Of files and tables; where blocks are shared the disk holds fewer."""
    rows: int


class Reply(BaseModel):
    """A tenant's images, newest first."""

    images: list[Told] = Field(default_factory=list)
    dropped: bool = False
    """Whether what was to be removed was there."""
    away: bool = False
    """They could not be looked at."""
