"""Plays clone jobs on the streams as a cloner would publish them, without cloning anything."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from services.status.projection import Projection, State
from shared.bus.connection import Bus
from shared.contract.events import CloneRequested, Extended, JobEvent, now
from shared.contract.jobs import CloneResult, ErrorInfo, Job, Note, Status, Step, StepState
from shared.contract.subjects import EventType, Lane
from shared.ids import new_id
from shared.secrets.vault import KeyRing

STEPS: list[tuple[str, str, str | None, int | None, int]] = [
    # name, title, unit, total, weight
    ("sign_in", "Sign in to the source", None, None, 2),
    ("connector", "Install the connector", None, None, 3),
    ("preflight", "Look at the source", None, None, 3),
    ("provision", "Prepare the new site", None, None, 4),
    ("files", "Copy files", "bytes", 168_420_311, 45),
    ("database", "Copy and rewrite the database", "rows", 136_214, 33),
    ("finalize", "Finish the new site", None, None, 4),
    ("verify", "Check the clone", "pages", 20, 5),
    ("cleanup", "Remove the connector", None, None, 1),
]
FILE_NAMES = ("2024/03/harbour-1536x1024.jpg", "2025/11/menu-autumn.pdf", "2023/07/team.webp", "themes/tide/style.css")
TABLES = ("wp_posts", "wp_postmeta", "wp_options", "wp_comments", "wp_termmeta")


@dataclass
class Simulated:
    """One job being played."""

    bus: Bus
    source_url: str = "https://harbour-cafe.example"
    name: str | None = None
    lane: Lane = Lane.NORMAL
    job_id: str = field(default_factory=lambda: new_id("clone"))
    pace: float = 0.0
    """Seconds between two progress events; 0: as fast as they are acknowledged."""
    ticks: int = 6
    """Progress events of a step that counts."""
    keys: KeyRing | None = None
    tenant: str = "local"
    created: datetime = field(default_factory=now)
    job: Job | None = None

    async def submit(self) -> Simulated:
        command = CloneRequested(
            job_id=self.job_id,
            lane=self.lane,
            source_url=self.source_url,
            secret_ref=self.job_id,
            ttl_minutes=120,
            name=self.name,
            tenant=self.tenant,
            time=self.created,
        )
        await self.bus.publish(command, msg_id=f"{self.job_id}:requested")
        self.job = command.job()
        return self

    async def adopt(self) -> Simulated:
        """Play a job that somebody else submitted."""
        self.job = State().after(await Projection(self.bus).behind(self.job_id, 0)).job
        assert self.job is not None
        return self

    async def emit(self, event: EventType, **update: Any) -> None:
        """Publish the job's state after an update."""
        assert self.job is not None
        self.job = self.job.model_copy(update={"updated_at": now(), **update}, deep=True)
        await self.bus.publish(JobEvent(type=event, job_id=self.job_id, lane=self.lane, job=self.job))

    async def start(self, *, attempt: int = 1) -> None:
        steps = [Step(name=name, title=title, unit=unit, total=total) for name, title, unit, total, _ in STEPS]
        await self.emit(
            EventType.STARTED,
            status=Status.RUNNING,
            phase=None,
            attempt=attempt,
            fence=attempt,
            steps=steps,
            step=None,
            started_at=now(),
            message="Starting",
            error=None,
        )

    async def run_steps(self, *, upto: str | None = None) -> None:
        """Play the steps; `upto` stops in the middle of that one."""
        for index, (name, _title, unit, total, _weight) in enumerate(STEPS):
            self._step(index, state=StepState.RUNNING, started_at=now())
            await self.emit(EventType.PROGRESS, step=name, message=STEPS[index][1], progress=self._progress(index, 0))
            ticks = self.ticks if unit else 1
            for tick in range(1, ticks + 1):
                if upto == name and tick > ticks // 2:
                    return
                if self.pace:
                    await asyncio.sleep(self.pace * random.uniform(0.6, 1.4))
                self._step(index, done=round((total or 0) * tick / ticks))
                message = self._message(name, tick)
                await self.emit(EventType.PROGRESS, message=message, progress=self._progress(index, tick / ticks))
            self._step(index, state=StepState.DONE, finished_at=now(), done=total or 0)

    async def complete(self, *, clone_url: str | None = None, ttl: timedelta | None = timedelta(hours=2)) -> None:
        sealed = "" if self.keys is None else self.keys.seal("correct-horse-7", purpose=self.job_id)
        url = clone_url or f"http://{self.job_id}.localhost:8080/"
        result = CloneResult(
            clone_id=self.job_id,
            clone_url=url,
            admin_url=f"{url}wp-admin/",
            username="siteferry",
            sealed_password=sealed,
            expires_at=None if ttl is None else now() + ttl,
            files=6_012,
            bytes=168_420_311,
            tables=23,
            rows=136_214,
            rewritten={"wp_posts": 812, "wp_postmeta": 2_204, "wp_options": 61},
            notes=[
                Note(code="transients_skipped", message="Transients were left out", count=318),
                Note(
                    code="plugins_quarantined",
                    message="Plugins tied to the old host were switched off",
                    count=2,
                    samples=["wp-rocket", "cloudflare"],
                ),
            ],
            timings={"files": 21.4, "database": 17.9, "verify": 2.2},
        )
        await self.emit(
            EventType.COMPLETED,
            status=Status.COMPLETED,
            progress=100.0,
            step=None,
            message="The clone is ready",
            finished_at=now(),
            result=result,
        )

    async def fail(self) -> None:
        assert self.job is not None
        current = next((i for i, step in enumerate(self.job.steps) if step.state is StepState.RUNNING), 0)
        self._step(current, state=StepState.FAILED, finished_at=now(), message="HTTP 503 after 5 tries")
        await self.emit(
            EventType.FAILED,
            status=Status.FAILED,
            message="The source stopped answering while files were copied.",
            finished_at=now(),
            error=ErrorInfo(
                code="source_unreachable",
                message="The source stopped answering while files were copied.",
                hint="Check that the site is up, then try again: the job continues where it stopped.",
            ),
        )

    async def play(self) -> Simulated:
        """A whole job that ends well."""
        await self.submit()
        await self.start()
        await self.run_steps()
        await self.complete()
        return self

    async def extend(self, by: timedelta) -> None:
        await self.bus.publish(Extended(job_id=self.job_id, lane=self.lane, expires_at=now() + by))

    def _step(self, index: int, **update: Any) -> None:
        assert self.job is not None
        steps = [step.model_copy() for step in self.job.steps]
        steps[index] = steps[index].model_copy(update=update)
        self.job = self.job.model_copy(update={"steps": steps})

    def _progress(self, index: int, share: float) -> float:
        weights = [step[4] for step in STEPS]
        return round(sum(weights[:index]) + weights[index] * share, 1)

    def _message(self, step: str, tick: int) -> str:
        if step == "files":
            return f"Copying wp-content/uploads/{FILE_NAMES[tick % len(FILE_NAMES)]}"
        if step == "database":
            return f"Copying {TABLES[tick % len(TABLES)]}"
        if step == "verify":
            return "Comparing pages with the source"
        return next(title for name, title, *_ in STEPS if name == step)
