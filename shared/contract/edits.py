"""What was edited in a clone, as its carrier found it: bounded, for the clone may be hostile."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST_TABLES = 50
MOST_SAMPLES = 5
MOST_FILES = 20
LONGEST = 400

Count = Annotated[int, Field(ge=0)]
Shown = Annotated[str, Field(max_length=LONGEST)]


class TableEdits(BaseModel):
    """Rows of one table of a clone that are not as they came from its source."""

    model_config = ConfigDict(extra="ignore")

    added: Count = 0
    changed: Count = 0
    removed: Count = 0
    altered: bool = False
    """Whether the table itself was built anew, or dropped: then its rows were not compared."""
    samples: list[Shown] = Field(default_factory=list, max_length=MOST_SAMPLES)
    """Keys of some of these rows, cells with commas between them."""


class Edits(BaseModel):
    """What was edited in a clone since it was made or refreshed."""

    model_config = ConfigDict(extra="ignore")

    known: bool = True
    """False: nothing tells what the clone was, so nobody knows what was edited."""
    tables: dict[Shown, TableEdits] = Field(default_factory=dict, max_length=MOST_TABLES)
    """By name; those with the most rows."""
    rows: Count = 0
    """Of all tables."""
    files: Count = 0
    file_samples: list[Shown] = Field(default_factory=list, max_length=MOST_FILES)
    """Some of the files, like `added wp-content/uploads/2026/11/new.jpg`."""
