"""What the stream says about a job: the command, a cancel, how it ended."""

from __future__ import annotations

from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from shared import tracing
from shared.bus.connection import Bus
from shared.contract.events import CloneRequested, Command, JobEvent, RestoreRequested, decode
from shared.contract.streams import STREAMS
from shared.contract.subjects import TERMINAL, EventType, Kind, Lane, story, subject

WORKER_EVENTS = (EventType.STARTED, EventType.PROGRESS, EventType.WAITING, EventType.RETRYING, *sorted(TERMINAL))


class Story:
    """Reads the messages of one job. Every method raises nats errors when NATS is away."""

    def __init__(self, bus: Bus, kind: Kind, lane: Lane, job_id: str) -> None:
        self._js = bus.js
        self._stream = STREAMS[kind]
        self._kind, self._lane, self._job_id = kind, lane, job_id
        self.new = False
        """Whether the log was seen to hold the command and nothing else: no worker's word, and no cancel."""
        self.trace: str | None = None
        """`traceparent` of the call that began the job, once its command was read."""

    async def command(self) -> tuple[Command, int] | None:
        """The command and its sequence; None when it has aged out or never was.

        Raises pydantic.ValidationError when it is not what this version understands.
        """
        raw = await self._last(self._subject(EventType.REQUESTED))
        if raw is None:
            return None
        self.trace = (raw.headers or {}).get(tracing.HEADER)
        command = decode(EventType.REQUESTED, raw.data or b"")
        assert isinstance(command, CloneRequested | RestoreRequested)
        return command, raw.seq or 0

    async def is_new(self) -> bool:
        """Whether the stream holds nothing about this job but one command."""
        info = await self._js.stream_info(self._stream, subjects_filter=story(self._job_id))
        self.new = sum((info.state.subjects or {}).values()) == 1
        return self.new

    async def cancelled_at(self) -> int:
        """Sequence of the last cancel; 0 when nobody asked."""
        raw = await self._last(self._subject(EventType.CANCEL))
        return 0 if raw is None else raw.seq or 0

    async def completed_at(self, attempt: int) -> int | None:
        """Sequence of the event that told this attempt's success; None when it is not told."""
        raw = await self._last(self._subject(EventType.COMPLETED))
        message = None if raw is None else decode(EventType.COMPLETED, raw.data or b"")
        told = raw is not None and isinstance(message, JobEvent) and message.job.attempt == attempt
        return raw.seq if told and raw is not None else None

    async def last_event(self) -> tuple[JobEvent, int] | None:
        """The last thing any worker said about the job.

        What a node of NATS that stood still stores of an attempt after that attempt's end is passed over.
        """
        found: list[tuple[JobEvent, int]] = []
        for event in WORKER_EVENTS:
            raw = await self._last(self._subject(event))
            message = None if raw is None else decode(event, raw.data or b"")
            if raw is not None and message is not None:
                assert isinstance(message, JobEvent)
                found.append((message, raw.seq or 0))
        return max(found, key=_place, default=None)

    def _subject(self, event: EventType) -> str:
        return subject(self._kind, event, self._lane, self._job_id)

    async def _last(self, where: str) -> RawStreamMsg | None:
        try:
            return await self._js.get_msg(self._stream, subject=where)
        except NotFoundError:
            return None


def _place(told: tuple[JobEvent, int]) -> tuple[int, bool, int]:
    """The order in which a worker said things: the end of an attempt is its last word, wherever it was stored."""
    event, seq = told
    return event.job.attempt, event.type in TERMINAL, seq
