"""States of clones, as gateway and cloner speak of them: `rpc.cloner.states`, answered at once."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from shared.contract.times import Time

MADE = "made"
"""The state a clone had when it was made."""
VERSION = "version-"
"""Before the name of a version."""
MOST_VERSIONS = 10
NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,39}$"
"""Of a version, as people name it."""


class Question(BaseModel):
    """Which states are there? `drop`: remove this one first."""

    clone_id: str
    drop: str | None = None


class State(BaseModel):
    """What a clone was at one moment."""

    name: str
    made_at: Time | None = None
    """None: what is stored about it is damaged."""
    files: int = 0
    bytes: int = 0
    tables: int = 0


class Reply(BaseModel):
    """The states of a clone; `refused` says why there is no answer."""

    states: list[State] = Field(default_factory=list)
    refused: Literal["", "not_offered", "away"] = ""


def version_state(name: str) -> str:
    """The state a version is kept as."""
    return VERSION + name


def is_version(state: str) -> bool:
    """Whether a state is a version."""
    return state.startswith(VERSION)
