"""Captured mail as the agent in a clone's cell tells it: bounded there, checked here."""

from __future__ import annotations

from typing import Any

from services.cloner.drivers.port import MailMessage

LONGEST = 300_000
MOST = 500
MOST_LINES = 100


def read_mails(answer: dict[str, Any]) -> list[MailMessage]:
    """The messages of one answer. Whatever is not as it should be is left out or empty."""
    found = answer.get("mails")
    return [_message(mail) for mail in found[:MOST] if isinstance(mail, dict)] if isinstance(found, list) else []


def _message(mail: dict[str, Any]) -> MailMessage:
    return MailMessage(
        id=_text(mail.get("id")),
        time=_text(mail.get("time")),
        to=_lines(mail.get("to")),
        subject=_text(mail.get("subject")),
        headers=_lines(mail.get("headers")),
        body=_text(mail.get("body")),
        attachments=_lines(mail.get("attachments")),
    )


def _text(value: Any) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


def _lines(value: Any) -> list[str]:
    return [_text(line) for line in value[:MOST_LINES] if isinstance(line, str)] if isinstance(value, list) else []
