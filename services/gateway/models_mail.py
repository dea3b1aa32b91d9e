"""Shapes of the calls about captured mail."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

from services.gateway.moments import said_in_mail
from shared.contract.times import Time


class Mail(BaseModel):
    """A mail the clone wanted to send. It was captured and never left."""

    id: str
    time: Annotated[Time | None, BeforeValidator(said_in_mail)] = Field(None, description="Null: it did not say.")
    to: list[str]
    subject: str
    headers: list[str] = Field(default_factory=list)
    body: str = ""
    attachments: list[str] = Field(default_factory=list)


class MailList(BaseModel):
    """Captured mail, newest first."""

    mails: list[Mail]
