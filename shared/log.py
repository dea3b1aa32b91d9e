"""Logging: words for people on a terminal, JSON in containers, one place that keeps secrets and control characters out.

Any key that names a secret is replaced, whatever its value; code must still never pass one.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from io import StringIO
from typing import Any, Protocol, TextIO

import structlog

from shared import printable

SECRET_KEYS = re.compile(r"passw|secret|token|pairing|authorization|cookie|credential", re.IGNORECASE)
HARMLESS = frozenset({"secret_ref"})

_for_programs = False


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: the values of keys that name secrets become `[redacted]`."""
    for key in event:
        if SECRET_KEYS.search(key) and key not in HARMLESS:
            event[key] = "[redacted]"
    return event


def neutralise(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: texts keep to their line and hold no control characters; others are escaped by `repr`."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = printable.one_line(value)
    return event


def _printable_traceback(stream: TextIO, exc_info: Any) -> None:
    """Never the default one: with rich installed it prints local variables, and with them passwords."""
    told = StringIO()
    structlog.dev.plain_traceback(told, exc_info)
    stream.write(printable.lines(told.getvalue()))


def configure(service: str, *, fmt: str = "console", level: str = "INFO") -> None:
    """Set up logging of this process. Standard-library loggers go the same way, at WARNING and above."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        neutralise,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if fmt == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            pad_event_to=0,
            exception_formatter=_printable_traceback,
        )
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer] if fmt == "json" else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    structlog.contextvars.bind_contextvars(service=service)
    global _for_programs
    _for_programs = fmt == "json"


def bind(**facts: str) -> None:
    """Facts every line of this task has from now on, where lines are for programs; people read `job=`."""
    if _for_programs:
        structlog.contextvars.bind_contextvars(**facts)


def get(name: str) -> Any:
    """A logger; pass facts as keywords: `log.info("clone ready", clone=clone_id, seconds=3.2)`."""
    return structlog.get_logger(name)


class Lines(Protocol):
    """Where lines of the log go that are written elsewhere."""

    def say(self, level: str, event: str, facts: dict[str, Any]) -> None:
        """One line."""


def to_worker(lines: Lines) -> None:
    """Set up logging of a process that has no log of its own: what is said goes to `lines`, one by one."""

    def hand_over(_logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        if event.pop("exc_info", None):
            event["exception"] = traceback.format_exc()
        lines.say("error" if method in {"exception", "critical"} else method, str(event.pop("event", "")), dict(event))
        raise structlog.DropEvent

    structlog.configure(
        processors=[redact, hand_over],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
