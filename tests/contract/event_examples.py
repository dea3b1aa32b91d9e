"""One example of every message on the streams, as files in docs/events.

python -m tests.contract.event_examples      writes them again after a change
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shared.contract.events import (
    MODELS,
    Cancel,
    CloneRequested,
    Expire,
    Expired,
    Extended,
    JobEvent,
    Message,
    Retry,
    RolledBack,
)
from shared.contract.jobs import CloneResult, ErrorInfo, Job, Note, Phase, Status, Step, StepState
from shared.contract.subjects import EventType, Lane, subject
from shared.contract.times import stamp

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "events"
JOB = "clone-0k3v9x2m7c1p5t8w"
RESTORE = "restore-0k3v9x2m7c1p5t8w"
AT = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
SOURCE = "https://shop.example.com"


def examples() -> dict[EventType, Message]:
    """An example of each type the streams carry."""
    command = CloneRequested(job_id=JOB, time=AT, source_url=SOURCE, secret_ref=JOB, ttl_minutes=1440, name="Shop")
    base = command.job()
    running = base.model_copy(
        update={
            "status": Status.RUNNING,
            "attempt": 1,
            "fence": 1,
            "started_at": AT + timedelta(seconds=1),
            "updated_at": AT + timedelta(seconds=9),
            "step": "files",
            "progress": 31.4,
            "message": "Copying files",
            "steps": [
                Step(name="sign_in", title="Sign in to the source", state=StepState.DONE),
                Step(
                    name="files",
                    title="Copy files",
                    state=StepState.RUNNING,
                    done=52_428_800,
                    total=168_420_311,
                    unit="bytes",
                ),
            ],
        }
    )
    error = ErrorInfo(
        code="source_unreachable",
        message="The source stopped answering while files were copied.",
        hint="Check that the site is up, then try again: the job continues where it stopped.",
    )
    return {
        EventType.REQUESTED: command,
        EventType.RETRY: Retry(job_id=JOB, time=AT, attempt=2, reason="asked for by local", manual=True),
        **{event: _worker(event, running, **change) for event, change in _changes(error).items()},
        EventType.CANCEL: Cancel(job_id=JOB, time=AT, by="local"),
        EventType.EXPIRE: Expire(job_id=JOB, time=AT, reason="deleted"),
        EventType.EXTENDED: Extended(job_id=JOB, time=AT, expires_at=AT + timedelta(days=7)),
        EventType.EXPIRED: Expired(job_id=JOB, time=AT, reason="expired"),
        EventType.ROLLED_BACK: RolledBack(
            job_id=RESTORE, time=AT, snapshot_id=RESTORE, reason="The home page answers with HTTP 500."
        ),
    }


def _changes(error: ErrorInfo) -> dict[EventType, dict[str, object]]:
    ended = {"finished_at": AT + timedelta(seconds=48), "updated_at": AT + timedelta(seconds=48)}
    return {
        EventType.STARTED: {"progress": 0.0, "step": None, "message": "Starting"},
        EventType.PROGRESS: {},
        EventType.WAITING: {
            "status": Status.PENDING,
            "phase": Phase.WAITING,
            "message": "Waiting: two clones of this source run already",
        },
        EventType.RETRYING: {"status": Status.PENDING, "phase": Phase.RETRYING, "error": error},
        EventType.COMPLETED: {
            **ended,
            "status": Status.COMPLETED,
            "progress": 100.0,
            "step": None,
            "message": "The clone is ready",
            "result": CloneResult(
                clone_id=JOB,
                clone_url=f"http://{JOB}.localhost:8080/",
                admin_url=f"http://{JOB}.localhost:8080/wp-admin/",
                username="siteferry",
                sealed_password="v1.1f0c9a77.c2VhbGVkIGF0IHJlc3Q=",
                expires_at=AT + timedelta(days=1),
                files=6_012,
                bytes=168_420_311,
                tables=23,
                rows=136_214,
                rewritten={"wp_posts": 812},
                notes=[Note(code="transients_skipped", message="Transients were left out", count=318)],
            ),
        },
        EventType.FAILED: {**ended, "status": Status.FAILED, "message": error.message, "error": error},
        EventType.CANCELLED: {**ended, "status": Status.CANCELLED, "message": "Cancelled"},
    }


def _worker(event: EventType, job: Job, **change: object) -> JobEvent:
    changed = job.model_copy(update=change)
    return JobEvent.model_validate({"type": event, "job_id": JOB, "time": changed.updated_at, "job": changed})


def rendered() -> dict[str, str]:
    """File name to content."""
    files = {}
    for event, message in examples().items():
        content = {
            "subject": subject(message.kind, event, Lane.NORMAL, message.job_id),
            "headers": {
                "ce-type": f"siteferry.{message.kind}.{event}",
                "ce-subject": message.job_id,
                "ce-time": stamp(message.time),
            },
            "payload": json.loads(message.model_dump_json(exclude_none=True)),
        }
        files[f"{message.kind}.{event}.json"] = json.dumps(content, indent=2) + "\n"
    return files


def main() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name, content in rendered().items():
        (DIRECTORY / name).write_text(content)


assert set(examples()) == set(MODELS), "every type needs an example"

if __name__ == "__main__":
    main()
