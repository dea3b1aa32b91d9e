"""The fold of a job's story, driven by a machine that plays workers of every kind: slow, dead, doubled, too late."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.contract.events import Cancel, CloneRequested, JobEvent, Message, Retry, fold
from shared.contract.jobs import Job, Phase, Status
from shared.contract.subjects import TERMINAL, EventType

JOB = "clone-0123456789abcdef"
TIME = datetime(2026, 1, 1, tzinfo=UTC)
STATUS = {
    EventType.STARTED: Status.RUNNING,
    EventType.PROGRESS: Status.RUNNING,
    EventType.WAITING: Status.PENDING,
    EventType.RETRYING: Status.PENDING,
    EventType.COMPLETED: Status.COMPLETED,
    EventType.FAILED: Status.FAILED,
    EventType.CANCELLED: Status.CANCELLED,
}


def event(kind: EventType, *, attempt: int, fence: int, progress: float = 0.0) -> JobEvent:
    phase = {EventType.WAITING: Phase.WAITING, EventType.RETRYING: Phase.RETRYING}.get(kind)
    job = Job(
        job_id=JOB,
        type="clone",
        status=STATUS[kind],
        phase=phase,
        attempt=attempt,
        fence=fence,
        progress=progress,
        created_at=TIME,
        updated_at=TIME,
    )
    return JobEvent(job_id=JOB, type=kind, job=job)


class Story(RuleBasedStateMachine):
    """The model: which worker is the rightful one, which attempt runs, and whether it has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, Message]] = []
        self.job: Job | None = None
        self.seq = 0
        self.fence = 1
        self.attempt = 1
        self.progress = 0.0
        self.status = Status.PENDING
        self.cancelling = False
        request = CloneRequested(job_id=JOB, source_url="http://a.test", secret_ref=JOB, ttl_minutes=5, time=TIME)
        self._tell(request)

    def _tell(self, message: Message) -> None:
        self.seq += 1
        self.told.append((self.seq, message))
        self.job = fold(self.job, message, self.seq)

    def _end(self, status: Status) -> None:
        self.status, self.cancelling = status, False

    alive = precondition(lambda self: not self.status.terminal)

    @alive
    @rule(progress=st.floats(0, 99))
    def work(self, progress: float) -> None:
        self._tell(event(EventType.PROGRESS, attempt=self.attempt, fence=self.fence, progress=progress))
        self.progress = max(self.progress, progress)
        self.status = Status.RUNNING

    @alive
    @rule()
    def take_over(self) -> None:
        self.fence += 1
        self._tell(event(EventType.STARTED, attempt=self.attempt, fence=self.fence, progress=self.progress))
        self.status = Status.RUNNING

    @alive
    @rule()
    def wait(self) -> None:
        self._tell(event(EventType.WAITING, attempt=self.attempt, fence=self.fence, progress=self.progress))
        self.status = Status.PENDING

    @alive
    @rule()
    def fail_for_now(self) -> None:
        self._tell(event(EventType.RETRYING, attempt=self.attempt, fence=self.fence, progress=self.progress))
        self._tell(Retry(job_id=JOB, attempt=self.attempt + 1))
        self.attempt, self.fence = self.attempt + 1, self.fence + 1
        self._tell(event(EventType.STARTED, attempt=self.attempt, fence=self.fence))
        self.status, self.progress = Status.RUNNING, 0.0
        # a person's wish outlives the attempt in the engine; the fold may show the new attempt until it ends
        self.cancelling = self.job is not None and self.job.phase is Phase.CANCELLING

    @alive
    @rule(kind=st.sampled_from(sorted(TERMINAL)))
    def end(self, kind: EventType) -> None:
        self._tell(event(kind, attempt=self.attempt, fence=self.fence, progress=self.progress))
        self._end(STATUS[kind])

    @precondition(lambda self: self.status.terminal)
    @rule()
    def retry_by_hand(self) -> None:
        self._tell(Retry(job_id=JOB, attempt=self.attempt + 1, manual=True))
        assert self.job is not None
        assert self.job.status is Status.PENDING
        self.attempt, self.fence = self.attempt + 1, self.fence + 1
        self._tell(event(EventType.STARTED, attempt=self.attempt, fence=self.fence))
        self.status, self.progress = Status.RUNNING, 0.0

    @rule()
    def cancel(self) -> None:
        self._tell(Cancel(job_id=JOB))
        self.cancelling = self.cancelling or not self.status.terminal

    @precondition(lambda self: self.fence > 1)
    @rule(kind=st.sampled_from(sorted(STATUS)), progress=st.floats(0, 100), back=st.integers(1, 50))
    def zombie(self, kind: EventType, progress: float, back: int) -> None:
        """A worker that lost its lease says whatever it likes."""
        fence = max(0, self.fence - back)
        self._tell(event(kind, attempt=self.attempt, fence=fence, progress=progress))

    @precondition(lambda self: self.status.terminal)
    @rule(kind=st.sampled_from(sorted(STATUS)))
    def echo(self, kind: EventType) -> None:
        """Something of an attempt that has ended."""
        self._tell(event(kind, attempt=self.attempt, fence=self.fence, progress=1))

    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        seq, message = data.draw(st.sampled_from(self.told))
        assert fold(self.job, message, seq) == self.job

    @invariant()
    def tells_the_truth(self) -> None:
        assert self.job is not None
        assert self.job.status is self.status
        assert self.job.seq == self.seq
        assert self.job.created_at == TIME
        if self.status is Status.RUNNING:
            assert (self.job.attempt, self.job.fence, self.job.progress) == (self.attempt, self.fence, self.progress)
        if self.status.terminal:
            assert self.job.phase is None
        elif self.cancelling:
            assert self.job.phase is Phase.CANCELLING

    def teardown(self) -> None:
        again: Job | None = None
        for seq, message in self.told:
            again = fold(again, message, seq)
        assert again == self.job


TestStory = Story.TestCase
TestStory.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
