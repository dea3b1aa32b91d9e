"""What rewriting did and what it left alone, counted per table and column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MAX_SAMPLES = 5
"""Sample locations kept for each reason."""


class Kind(StrEnum):
    """How a replaced URL or path was spelled, or what its value was wrapped in."""

    PLAIN = "plain"
    JSON = "json"
    URLENCODED = "urlencoded"
    ENTITY = "entity"
    BARE = "bare"
    PATH = "path"
    ROOT_RELATIVE = "root_relative"
    SERIALIZED = "serialized"
    BASE64 = "base64"


class Reason(StrEnum):
    """Why a source URL or path was left where it stands."""

    UNREADABLE = "unreadable_serialized"
    AMBIGUOUS = "serialized_in_two_ways"
    KEY = "array_key_or_property_name"
    NAME = "class_name"
    ENUM = "enum"
    CUSTOM = "custom_serialized_body"
    ESCAPED_STRING = "escaped_serialized_string"
    ESCAPED_SERIALIZED = "serialized_inside_escaped_text"
    TRAILING = "bytes_after_serialized_value"
    TOO_DEEP = "nested_too_deep"
    SCHEME = "other_scheme"
    CREDENTIALS = "user_in_url"
    BASE64 = "base64"
    SLASHES = "unusual_slashes"
    LINE_BREAK = "broken_by_a_line_break"
    QUOTED = "quoted_printable"
    DIRECTIVE = "path_in_a_directive"
    OPTIONAL = "behind_an_optional_part_of_a_pattern"


@dataclass
class ColumnReport:
    """Counts of one column. `matched` and `changed` are values; `kinds` and `left` are occurrences in them."""

    matched: int = 0
    changed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: ColumnReport) -> ColumnReport:
        return ColumnReport(
            self.matched + other.matched,
            self.changed + other.changed,
            self.kinds + other.kinds,
            self.left + other.left,
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "matched": self.matched,
            "changed": self.changed,
            "kinds": dict(sorted(self.kinds.items())),
            "left": dict(sorted(self.left.items())),
        }


@dataclass(frozen=True)
class Sample:
    """Where something was left alone: the row is named by its first column, the value itself is not repeated."""

    table: str
    column: str
    row: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"table": self.table, "column": self.column, "row": self.row, "reason": self.reason}


@dataclass
class RewriteReport:
    """Everything one rewriter did; add the reports of several workers with `+`. `rows` counts rows read per table."""

    rows: Counter[str] = field(default_factory=Counter)
    columns: dict[tuple[str, str], ColumnReport] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def column(self, table: str, name: str) -> ColumnReport:
        """The counts of one column, to be added to."""
        return self.columns.setdefault((table, name), ColumnReport())

    def note(self, place: Place, kinds: Mapping[str, int], left: Iterable[str], *, changed: bool) -> None:
        """Counts one value that held a candidate."""
        counts = self.column(place.table, place.column)
        counts.matched += 1
        counts.changed += changed
        counts.kinds.update(kinds)
        for reason in left:
            counts.left[reason] += 1
            self.sample(place, reason)

    def add(self, table: str, name: str, tally: Tally) -> None:
        """Counts what was tallied in one column over many values."""
        counts = self.column(table, name)
        counts.matched += tally.matched
        counts.changed += tally.changed
        counts.kinds.update(tally.kinds)
        counts.left.update(tally.left)

    def sample(self, place: Place, reason: str) -> None:
        """Remembers a place where something was left, unless enough are known for this reason."""
        self._keep(Sample(place.table, place.column, place.row, reason))

    def _keep(self, sample: Sample) -> None:
        if sample not in self.samples and sum(s.reason == sample.reason for s in self.samples) < MAX_SAMPLES:
            self.samples.append(sample)

    @property
    def total(self) -> ColumnReport:
        """The sum over all columns."""
        return sum(self.columns.values(), ColumnReport())

    def left_facts(self) -> dict[str, Any]:
        """What was left alone, JSON-able; `of_left` reads it again."""
        left = {reason: count for reason, count in sorted(self.total.left.items())}
        return {"counts": left, "samples": [sample.to_dict() for sample in self.samples]} if left else {}

    @classmethod
    def of_left(cls, facts: Mapping[str, Any]) -> RewriteReport:
        """A report of what was left alone and nothing else."""
        counts = ColumnReport(left=Counter(facts.get("counts", {})))
        samples = [Sample(**sample) for sample in facts.get("samples", ())]
        return cls(columns={("", ""): counts} if counts.left else {}, samples=samples)

    def __add__(self, other: RewriteReport) -> RewriteReport:
        merged = RewriteReport(self.rows + other.rows, dict(self.columns), list(self.samples))
        for key, counts in other.columns.items():
            merged.columns[key] = merged.columns.get(key, ColumnReport()) + counts
        for sample in other.samples:
            merged._keep(sample)
        return merged

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: totals, tables with their columns, samples."""
        tables: dict[str, Any] = {table: {"rows": rows, "columns": {}} for table, rows in sorted(self.rows.items())}
        for (table, column), counts in sorted(self.columns.items()):
            tables.setdefault(table, {"rows": 0, "columns": {}})["columns"][column] = counts.to_dict()
        return {
            "total": {"rows": self.rows.total(), **self.total.to_dict()},
            "tables": tables,
            "samples": [sample.to_dict() for sample in self.samples],
        }


@dataclass(frozen=True)
class Place:
    """Where a value stands, for the report."""

    table: str = ""
    column: str = ""
    row: str = ""


class Tally:
    """Counts of one column while a block of rows passes: cheap to add to, one call for each URL found."""

    __slots__ = ("_last_changed", "_last_seen", "changed", "kinds", "left", "matched")

    def __init__(self) -> None:
        self.matched = 0
        self.changed = 0
        self.kinds: list[str] = []
        self.left: list[str] = []
        self._last_seen = self._last_changed = -1

    def seen(self, value: int, label: str, *, changed: bool) -> None:
        """One URL or path in the value that begins at position `value`; values come in order."""
        if value != self._last_seen:
            self.matched += 1
            self._last_seen = value
        if not changed:
            self.left.append(label)
            return
        self.kinds.append(label)
        if value != self._last_changed:
            self.changed += 1
            self._last_changed = value
