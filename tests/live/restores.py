"""Plays restore jobs on the streams as a restorer would publish them, without touching any site."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.status.projection import Projection, State
from shared.bus.connection import Bus
from shared.contract.events import Discarded, JobEvent, RestoreRequested, RolledBack, now
from shared.contract.jobs import (
    ErrorInfo,
    FolderPlan,
    Job,
    Loss,
    Note,
    RestorePlan,
    RestoreResult,
    Status,
    Step,
    StepState,
    TablePlan,
)
from shared.contract.subjects import EventType, Lane
from shared.ids import new_id

STEPS = (
    ("sign_in", "Sign in to both sites"),
    ("connector", "Install the connectors"),
    ("preflight", "Look at both sites"),
    ("plan", "Compare both sites"),
    ("stage", "Write beside the live tables"),
    ("swap", "Exchange"),
    ("watch", "Watch the site"),
)
PLAN = RestorePlan(
    tables=[
        TablePlan(table="wp_posts", action="change", add=2, change=3, remove=1, same=812, production_only=1),
        TablePlan(table="wp_users", action="keep", reason="accounts stay production's"),
        TablePlan(table="wp_harbour_bookings", action="create", add=40),
    ],
    folders=[
        FolderPlan(folder="uploads/2026", action="change", add=4, change=1, same=300, bytes=1_900_000),
        FolderPlan(folder="plugins/forms", action="keep", reason="plugins stay production's"),
    ],
    losses={"comment": 1, "order": 2},
    loss_samples=[
        Loss(what="order", table="wp_posts", key="4711", title="Order of Ada", why="production_only"),
        Loss(what="comment", table="wp_comments", key="12", title="Lovely!", why="production_only"),
    ],
    drift=["Production runs PHP 8.3, the clone PHP 8.2."],
    base=True,
)


@dataclass
class SimulatedRestore:
    """One restore being played."""

    bus: Bus
    source_url: str = "https://staging.example.com"
    target_url: str = "https://shop.example.com"
    tenant: str = "local"
    lane: Lane = Lane.NORMAL
    job_id: str = field(default_factory=lambda: new_id("restore"))
    created: datetime = field(default_factory=now)
    job: Job | None = None

    async def submit(self, **command: Any) -> SimulatedRestore:
        """Ask for it."""
        wish = RestoreRequested(
            job_id=self.job_id,
            lane=self.lane,
            source_url=self.source_url,
            target_url=self.target_url,
            secret_ref=self.job_id,
            tenant=self.tenant,
            time=self.created,
            **command,
        )
        await self.bus.publish(wish, msg_id=f"{self.job_id}:requested")
        self.job = wish.job()
        return self

    async def adopt(self) -> SimulatedRestore:
        """Play a job that somebody else submitted."""
        self.job = State().after(await Projection(self.bus).behind(self.job_id, 0)).job
        assert self.job is not None
        self.lane = self.job.lane
        return self

    async def emit(self, event: EventType, **update: Any) -> None:
        """Publish the job's state after an update."""
        assert self.job is not None
        self.job = self.job.model_copy(update={"updated_at": now(), **update}, deep=True)
        await self.bus.publish(JobEvent(type=event, kind="restore", job_id=self.job_id, lane=self.lane, job=self.job))

    async def start(self) -> None:
        """A worker took it."""
        steps = [Step(name=name, title=title) for name, title in STEPS]
        started: dict[str, Any] = {"status": Status.RUNNING, "attempt": 1, "fence": 1, "steps": steps}
        await self.emit(EventType.STARTED, **started, started_at=now(), message="Starting")

    async def reach(self, name: str) -> None:
        """Be at a step."""
        assert self.job is not None
        at = [step.name for step in self.job.steps].index(name)
        steps = [
            step.model_copy(
                update={"state": StepState.DONE if n < at else StepState.RUNNING if n == at else StepState.PENDING}
            )
            for n, step in enumerate(self.job.steps)
        ]
        percent = round(100 * at / len(steps), 1)
        await self.emit(EventType.PROGRESS, steps=steps, step=name, message=steps[at].title, progress=percent)

    async def complete(self, **result: Any) -> None:
        """End well; by default as a restore that left a snapshot."""
        made: dict[str, Any] = {
            "target_url": self.target_url,
            "plan": PLAN,
            "snapshot_id": self.job_id,
            "snapshot_expires_at": now() + timedelta(hours=72),
            "snapshot_bytes": 1_048_576,
            "tables": 9,
            "rows": 46,
            "files": 5,
            "bytes": 1_900_000,
            "write_unavailable_ms": 38.5,
            "notes": [Note(code="late_rows", message="Orders that came meanwhile were carried over", count=1)],
        }
        ended = {"status": Status.COMPLETED, "progress": 100.0, "step": None, "finished_at": now()}
        outcome = RestoreResult.model_validate(made | result)
        await self.emit(EventType.COMPLETED, **ended, message="Done", result=outcome)

    async def fail(self, error: ErrorInfo) -> None:
        """End badly."""
        await self.emit(EventType.FAILED, status=Status.FAILED, message=error.message, error=error, finished_at=now())

    async def play(self) -> SimulatedRestore:
        """A whole restore that ends well."""
        await self.submit()
        await self.start()
        for name, _ in STEPS:
            await self.reach(name)
        await self.complete()
        return self

    async def rolled_back(self, *, automatic: bool = False) -> None:
        """What a roll-back tells on the story of the restore."""
        told = RolledBack(
            job_id=self.job_id,
            lane=self.lane,
            snapshot_id=self.job_id,
            reason="asked for by local",
            automatic=automatic,
        )
        await self.bus.publish(told)

    async def discarded(self) -> None:
        """What a discard tells on the story of the restore."""
        await self.bus.publish(Discarded(job_id=self.job_id, lane=self.lane, snapshot_id=self.job_id))
