"""Deliveries this version can not read: what no version has written ends, what a newer one began is left to it."""

from __future__ import annotations

from nats.aio.msg import Msg
from pydantic import ValidationError

from shared.contract.events import now
from shared.contract.jobs import ErrorInfo, Job, Status
from shared.contract.subjects import EventType
from shared.engine.checkpoint import Checkpoint
from shared.engine.held import Held
from shared.engine.story import Story
from shared.log import get

log = get(__name__)

LEFT_TO_NEWER = 12
"""Deliveries of a job that only another version understands before it is ended; ten seconds each by default."""


async def refuse(held: Held, error: ValidationError) -> None:
    """A command no version of ours has written: the job ends, visibly."""
    wrong = sorted({".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)})
    info = ErrorInfo(code="invalid_command", message="The command can not be read.", details={"fields": wrong})
    about, time = held.about, now()
    job = Job(
        job_id=held.job_id,
        type=about["kind"],
        lane=about["lane"],
        status=Status.FAILED,
        error=info,
        message=info.message,
        attempt=1,
        fence=held.lease.fence,
        created_at=time,
        updated_at=time,
        finished_at=time,
    )
    await held.publish(EventType.FAILED, job, msg_id=f"{held.job_id}:1:terminal")


async def leave_to_newer(held: Held, story: Story, delivery: Msg, error: ValidationError) -> bool:
    """Another version worked on the job: its workers go on with it. When there are none, the job ends, visibly.

    Whether it has ended; otherwise the delivery is handed back.
    """
    wrong, delivered = error.error_count(), delivery.metadata.num_delivered
    log.warning("another version's checkpoint", job=held.job_id, problems=wrong, delivered=delivered)
    if delivered <= LEFT_TO_NEWER:
        await held.let_go()
        await delivery.nak(delay=held.settings.ack_wait / 3)
        return False
    info = ErrorInfo(
        code="newer_version",
        message="Another version of Siteferry began this job, and this one can not go on with it.",
        hint="Bring all workers to the newer version, then run the job again. A sweep removes what is left.",
    )
    last = await story.last_event()
    known = Checkpoint(attempt=last[0].job.attempt if last else 1, fence=last[0].job.fence if last else 0)
    held.known = known
    held.claim()
    await held.take_over()
    job = known.job(held.command, now=now(), status=Status.FAILED, error=info, message=info.message, finished_at=now())
    known.ended = await held.publish(EventType.FAILED, job, msg_id=f"{held.job_id}:{known.attempt}:terminal")
    await held.store.write(known)
    return True
