"""A login link of a clone: what the gateway asks the cloner, and what it is told. Nothing is stored."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from shared.contract.times import Time


class Question(BaseModel):
    """For which of the clone's users; `user` is a login name or an e-mail address."""

    clone_id: str
    user: str


class Reply(BaseModel):
    """What signs in, in the query of the clone's login page, or why there is none."""

    query: str = ""
    login: str = ""
    ends: Time | None = None
    refused: Literal["user_not_found", "clone_silent", "away"] | None = None
    words: str = ""
    """What PHP said, when the clone is silent."""
