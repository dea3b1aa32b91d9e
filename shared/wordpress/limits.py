"""Every bound on what a site may send us, in one table: what is read further than this could not be meant for us.

A site is somebody else's program. Whatever it sends costs memory and time here, so everything has an end; the one who
reads enforces it with `Limit.check` or cuts, as the entry says. `tests/unit/test_site_limits.py` tries each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.errors import JobError
from shared.wordpress.errors import AnswerTooLarge, SourceUnreachable, TooManyRedirects

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limit:
    """One bound. `error` is what exceeding it ends with; None: what comes after it is left unread."""

    what: str
    most: float
    unit: str
    error: type[JobError] | None = AnswerTooLarge

    @property
    def code(self) -> str | None:
        """The stable code a job ends with when the bound is exceeded."""
        return self.error.code if self.error is not None else None

    def check(self, found: float) -> None:
        """Raise this bound's error when `found` exceeds it."""
        if found > self.most and self.error is not None:
            text = f"The site sent {self.what} of more than {self.most:g} {self.unit}."
            raise self.error(text, limit=self.what, most=self.most, unit=self.unit)


PAGE: Final = Limit("a page", 5 * MIB, "bytes", None)
PAGE_TAGS: Final = Limit("a page", 60_000, "tags", None)
PAGE_SECONDS: Final = Limit("a page", 120, "seconds", SourceUnreachable)
REDIRECTS: Final = Limit("a chain of redirects", 10, "steps", TooManyRedirects)
HEADERS: Final = Limit("headers", 64 * KIB, "bytes")
RATIO: Final = Limit("a packed answer", 200, "bytes for each it has packed")
RATIO_FROM: Final = 4 * MIB
"""Unpacked bytes from which the ratio counts: small answers pack well."""
ANSWER_SECONDS: Final = Limit("one answer of the connector", 900, "seconds", SourceUnreachable)
REFUSAL: Final = Limit("an answer that is not the connector's", 64 * KIB, "bytes", None)
FRAME: Final = Limit("a frame", 32 * MIB, "bytes")
JSON: Final = Limit("a frame of JSON", 16 * MIB, "bytes")
JSON_VALUES: Final = Limit("a frame of JSON", 1_000_000, "values")
JSON_DEPTH: Final = Limit("a frame of JSON", 64, "levels")
ROW: Final = Limit("a row", 256 * MIB, "bytes")
NAME: Final = Limit("the name of a file", 4096, "bytes")
LINK: Final = Limit("the goal of a link", 4096, "bytes")
FILE_GROWTH: Final = Limit("a file that grew while it was copied,", 64 * MIB, "bytes beyond what was announced")
PAUSE: Final = Limit("a Retry-After", 900, "seconds", None)
ADDRESS: Final = Limit("an address", 2048, "characters", None)

TABLE: Final = (
    PAGE, PAGE_TAGS, PAGE_SECONDS, REDIRECTS, HEADERS, RATIO, ANSWER_SECONDS, REFUSAL, FRAME, JSON, JSON_VALUES,
    JSON_DEPTH, ROW, NAME, LINK, FILE_GROWTH, PAUSE, ADDRESS,
)  # fmt: skip


def check_growth(announced: int, arrived: int) -> None:
    """A file may grow while it is copied (a log does), but not without end: twice its size and `FILE_GROWTH`."""
    FILE_GROWTH.check(arrived - 2 * announced)
