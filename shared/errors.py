"""Errors that end or delay a job.

    JobError
    +-- Temporary   a retry can help: the engine schedules another attempt until the step's budget is spent
    +-- Permanent   a retry can not help: the job fails at once with this code, sentence and hint

Every concrete error answers two questions for the person who reads it: what happened (`message`, one sentence) and
what to do next (`hint`). `code` is stable and part of the API; messages may be reworded. None of the three may hold
a secret.
"""

from __future__ import annotations

from typing import Any, ClassVar


class JobError(Exception):
    """Base of everything a job can end with.

    Subclasses set `code` and `hint` as class attributes; `message` defaults to the first line of their docstring.
    `details` is a small JSON-able dict shown with the error (numbers, names), never secrets.
    """

    code: ClassVar[str] = "internal_error"
    decided: ClassVar[bool] = False
    """The job has acted on it already: it stands, whatever else was wrong at that time."""
    hint: str = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None, **details: Any) -> None:
        self.message = message or (self.__doc__ or type(self).__name__).strip().splitlines()[0]
        if hint is not None:
            self.hint = hint
        self.details: dict[str, Any] = details
        super().__init__(self.message)


class Temporary(JobError):
    """Something failed that may work when tried again."""

    code = "temporary_failure"
    hint = "Retry the job in a few minutes."
    """What to do once Siteferry has given up: that it tries again by itself is said while it does."""

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, retry_after: float | None = None, **details: Any
    ) -> None:
        super().__init__(message, hint=hint, **details)
        self.retry_after = retry_after
        """Seconds the other side asked us to wait, if it did."""


class Permanent(JobError):
    """Something failed that will fail again."""

    code = "permanent_failure"


class Cancelled(Permanent):
    """The job was cancelled."""

    code = "cancelled"


class LeaseLost(JobError):
    """Another worker took this job over."""

    code = "lease_lost"
