"""What a sweep found."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

What = Literal["place", "clone", "connector", "checkpoint", "login", "base", "snapshot", "state", "image"]
Outcome = Literal["removed", "expired", "found", "left", "failed"]
"""`found`: would be removed, but this was a dry run. `left`: unknown to the log, so it stays."""


class Finding(BaseModel):
    """One thing that should not be there."""

    what: What
    id: str
    why: str
    outcome: Outcome
    error: str = ""


class Report(BaseModel):
    """The answer to `rpc.cloner.sweep`."""

    dry_run: bool = False
    looked_at: dict[What, int] = Field(default_factory=dict)
    findings: list[Finding] = Field(default_factory=list)
    seconds: float = 0.0

    def count(self, outcome: Outcome) -> int:
        """How many findings ended like this."""
        return sum(finding.outcome == outcome for finding in self.findings)
