"""What the audit log holds of a call: one message before it changes anything, one when it has been answered.

Both have the same id and subject; the second says everything the first does. Where only the first is there, whoever
answered died meanwhile: what the call asked for may have been done, or not.
"""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.contract.times import Time

MANY = 100
"""Objects named in one record."""


class Record(BaseModel):
    """One call. Never a secret: of a key there is the id."""

    id: str
    at: Time
    """When it came."""
    tenant: str
    """Empty where nobody knows who called."""
    key: str
    """The API key's id, or its name in the key file; `local` where no key is needed. Of a refused one the id it named,
    which anybody can name; empty where it named none."""
    name: str = ""
    """The key's name for people."""
    address: str
    """The caller's, as the edge saw it; empty where nobody called: a schedule was due."""
    request_id: str
    trace_id: str
    action: str
    """`<area>.<verb>`."""
    objects: list[str] = Field(default_factory=list)
    """Ids of what it was about, at most `MANY`."""
    ended_at: Time | None = None
    status: int | None = None
    """Of the answer; None: there was none yet."""
    code: str | None = None
    """Error code of the answer."""
    unrecorded: int = 0
    """Refused calls since the last record of this kind that were only counted."""
