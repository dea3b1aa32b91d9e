"""A look at a site before it is cloned: what the gateway asks the cloner, and what it is told. Nothing is stored."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from shared.contract.jobs import ErrorInfo, Note, Record

PURPOSE = "preflight"
"""What the login in a question is sealed for: whoever listens to the messages can not read it."""
SECONDS = 10.0
"""A look takes no longer."""

Login = Literal["form", "captcha", "two_factor", "sso", "hidden", "locked", "blocked"]
"""What there is where people sign in."""


class Question(BaseModel):
    """Which site to look at; `sealed`: what was given of `username`, `password`, `login_url`,
    `basic_username`, `basic_password`, in JSON and sealed for `PURPOSE`."""

    source_url: str
    sealed: str | None = None


class Preview(Record):
    """What was seen of a site without changing it."""

    ready: bool = Field(description="Nothing that was seen speaks against cloning it.")
    source_url: str
    message: str = Field(description="What was seen, in a sentence.")
    home: str | None = Field(None, description="Where the site really is, after redirects.")
    https: bool | None = Field(None, description="Whether what is sent there travels encrypted.")
    wordpress: bool | None = Field(None, description="Null: it could not be told.")
    version: str | None = Field(None, description="WordPress's version, when the site tells it.")
    login_url: str | None = None
    login: Login | None = Field(None, description="What there is where people sign in; null: not looked at.")
    signed_in: bool | None = Field(None, description="Whether the login works; null: none was given.")
    administrator: bool | None = Field(None, description="Whether this user may install plugins; null: not looked at.")
    error: ErrorInfo | None = Field(None, description="What speaks against cloning it: the error such a job would get.")
    notes: list[Note] = Field(default_factory=list)


class Reply(BaseModel):
    """The cloner's answer: what it saw, or why it did not look."""

    preview: Preview | None = None
    busy: bool = False
