"""Following jobs to their end: live, or polled where that is refused; drawn on a terminal, said in lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from rich.console import Group
from rich.live import Live

from siteferry.cli import outcome, render
from siteferry.cli.client import Api, CliError, Exit, Unreachable
from siteferry.cli.live import BEAT, LIST, Line, Lost, Refused, pause
from siteferry.cli.render import Json

POLL = 0.3
"""Seconds between two looks."""
PACE = 0.1
"""Seconds between two looks that may wait for news."""
LONG_POLL = 5
"""Seconds one look may wait for news, when there is one job to look at."""
SETTLE_TRIES = 20
PATIENCE = 5.0
"""Seconds between two tries when nothing answers, at most."""
TERMINAL = frozenset({"completed", "failed", "cancelled"})
EXITS = {"completed": Exit.OK, "failed": Exit.FAILED, "cancelled": Exit.CANCELLED}


class View(Protocol):
    """What shows the jobs."""

    def show(self, job: Json) -> None:
        """A job has changed."""

    def lost(self) -> None:
        """Nothing answers; trying again."""

    def found(self) -> None:
        """It answers again."""

    def close(self) -> None:
        """The end."""


def watch(
    api: Api,
    job_ids: Sequence[str],
    *,
    as_json: bool = False,
    timeout: float | None = None,
    quiet: bool = False,
    join: bool = False,
) -> Exit:
    """Follow jobs until all have ended; the exit code says how the worst of them did. `join`: jobs that begin while
    others run are followed too.

    Raises CliError when a job does not exist or the time is up. Ctrl-C only detaches: the jobs go on.
    """
    view: View = JsonView() if as_json else QuietView() if quiet else make_view()
    try:
        jobs = LiveFollower(api, view, join=join).follow(job_ids, timeout)
    except KeyboardInterrupt:
        view.close()
        ids = " ".join(job_ids)
        render.say(f"Detached; it goes on. Come back with: siteferry watch {ids}")
        render.say(f"End it with: siteferry cancel {job_ids[0]}")
        return Exit.INTERRUPTED
    finally:
        view.close()
    if not as_json:
        for job in jobs:
            outcome.result(job)
    codes = {EXITS[job["status"]] for job in jobs}
    return Exit.FAILED if Exit.FAILED in codes else max(codes, default=Exit.OK)


def make_view() -> View:
    """Live on a terminal, lines elsewhere."""
    return LiveView() if render.err.is_terminal else LineView()


class Follower:
    """Polls jobs until they end, through outages of the service."""

    def __init__(self, api: Api, view: View) -> None:
        self._api = api
        self._view = view
        self._etags: dict[str, str | None] = {}
        self._jobs: dict[str, Json] = {}
        self._failures = 0

    def follow(self, job_ids: Sequence[str], timeout: float | None) -> list[Json]:
        """The jobs in their final states. Raises CliError when `timeout` seconds have passed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while open_ids := [job_id for job_id in job_ids if not self._ended(job_id)]:
            alone = len(open_ids) == 1 and deadline is None
            began = time.monotonic()
            for job_id in open_ids:
                self._look(job_id, wait=LONG_POLL if alone else 0)
            if all(self._ended(job_id) for job_id in job_ids):
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise late(open_ids)
            took = time.monotonic() - began  # waiting for news was the pause
            pace = max(0.0, PACE - took) if alone and not self._failures else POLL
            time.sleep(min(PATIENCE, pace * 2**self._failures))
        return [self._jobs[job_id] for job_id in job_ids]

    def _ended(self, job_id: str) -> bool:
        return job_id in self._jobs and self._jobs[job_id]["status"] in TERMINAL

    def _look(self, job_id: str, *, wait: int = 0) -> None:
        try:
            job, self._etags[job_id] = self._api.changed(f"/jobs/{job_id}", self._etags.get(job_id), wait=wait)
        except Unreachable:
            if not self._jobs:  # it never answered: most likely it does not run
                raise
            self._failures = min(self._failures + 1, 6)
            self._view.lost()
            return
        if self._failures:
            self._failures = 0
            self._view.found()
        if job is not None:
            self._show(job)

    def _show(self, job: Json) -> None:
        """Take a state that is newer than what is shown; looks and pushes may overtake each other."""
        known = self._jobs.get(job["job_id"])
        if known is None or known["seq"] < job["seq"]:
            self._jobs[job["job_id"]] = job
            self._view.show(job)


class LiveFollower(Follower):
    """Follows over the WebSocket. Looks once before and once after, for what exists and for the clone's login."""

    def __init__(self, api: Api, view: View, *, join: bool = False) -> None:
        super().__init__(api, view)
        self._line = Line(api)
        self._join = join
        self._broken = False

    def follow(self, job_ids: Sequence[str], timeout: float | None) -> list[Json]:
        """The jobs in their final states. Raises CliError when `timeout` seconds have passed."""
        wanted, tries = list(job_ids), 0
        self._ends_at = None if timeout is None else time.monotonic() + timeout
        for job_id in wanted:
            self._look(job_id)
        while self._open(wanted):
            try:
                with self._line.connected():
                    tries = 0
                    self._restored()
                    self._listen(wanted)
            except Refused:
                return super().follow(wanted, self._left())
            except Lost as lost:
                self._broken = True
                self._view.lost()
                self._in_time(wanted)
                tries += 1
                pause(tries, lost.wait)
                for job_id in self._open(wanted):  # what happens meanwhile is seen all the same
                    self._look(job_id)
        return [self._jobs[job_id] for job_id in wanted]

    def _listen(self, wanted: list[str]) -> None:
        """Take what comes until all have ended."""
        if self._join:
            self._line.watch_list()
        for job_id in self._open(wanted):
            self._line.watch(job_id)
        while self._open(wanted):
            left = self._left()
            frame = self._line.next(BEAT if left is None else max(0.01, left))
            if frame is None:
                self._in_time(wanted)
            elif frame["type"] == "upstream":
                if frame["ok"]:
                    self._restored()
                else:
                    self._broken = True
                    self._view.lost()
            elif frame["type"] in ("snap", "ev"):
                self._take(frame, wanted)

    def _take(self, frame: Json, wanted: list[str]) -> None:
        if frame["id"] == LIST:
            for job in frame["jobs"] if frame["type"] == "snap" else [frame["event"]["job"]]:
                self._welcome(job, wanted)
            return
        job = frame["job"] if frame["type"] == "snap" else frame["event"]["job"]
        job_id = job["job_id"]
        if job_id not in wanted or self._ended(job_id):
            return
        if job["status"] not in TERMINAL:
            self._show(job)
            return
        self._line.leave(job_id)
        self._etags.pop(job_id, None)
        for _ in range(SETTLE_TRIES):  # the answer may be a moment behind the event
            self._look(job_id)
            if self._ended(job_id):
                return
            time.sleep(POLL)
        raise Lost

    def _welcome(self, job: Json, wanted: list[str]) -> None:
        if job["job_id"] not in wanted and job["status"] not in TERMINAL:
            wanted.append(job["job_id"])
            self._line.watch(job["job_id"])

    def _open(self, wanted: Sequence[str]) -> list[str]:
        return [job_id for job_id in wanted if not self._ended(job_id)]

    def _left(self) -> float | None:
        return None if self._ends_at is None else self._ends_at - time.monotonic()

    def _in_time(self, wanted: Sequence[str]) -> None:
        left = self._left()
        if left is not None and left <= 0:
            raise late(self._open(wanted))

    def _restored(self) -> None:
        if self._broken:
            self._broken = False
            self._view.found()


def late(open_ids: Sequence[str]) -> CliError:
    """The time to wait is over."""
    hint = f"It goes on; come back with: siteferry watch {' '.join(open_ids)}"
    return CliError("Not finished within the time given.", hint=hint, code=Exit.TIMEOUT)


class JsonView:
    """JSON Lines on stdout: the whole job at every change, nothing else."""

    def show(self, job: Json) -> None:
        render.print_json(job)

    def lost(self) -> None:
        """stdout is data only, and there is none."""

    def found(self) -> None:
        """The next line says it."""

    def close(self) -> None:
        """Nothing is held."""


class QuietView(JsonView):
    """Shows nothing on the way."""

    def show(self, job: Json) -> None:
        """Only the result counts."""


class LineView:
    """One line per step or state change on stderr, for logs and pipes."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[object, ...]] = {}
        self._lost = False

    def show(self, job: Json) -> None:
        key = (job["status"], job["phase"], job["step"], job["attempt"])
        if self._said.get(job["job_id"]) == key:
            return
        self._said[job["job_id"]] = key
        title = next((step["title"] for step in job["steps"] if step["name"] == job["step"]), "")
        words = title if job["status"] == "running" and title and not job["phase"] else job["message"]
        if job["status"] == "failed":
            words = ""  # the result says it whole
        render.say(f"{job['job_id']}  {job['progress']:5.1f}%  {render.state_word(job)}  {words}".rstrip())

    def lost(self) -> None:
        if not self._lost:
            render.say("reconnecting…")
        self._lost = True

    def found(self) -> None:
        self._lost = False
        render.say("connected again")

    def close(self) -> None:
        """Nothing is held."""


class LiveView:
    """Redraws all watched jobs in place, on stderr."""

    def __init__(self) -> None:
        self._jobs: dict[str, Json] = {}
        self._note = ""
        self._live = Live(console=render.err, get_renderable=self._draw, refresh_per_second=8)
        self._live.start()

    def _draw(self) -> Group:
        return Group(*(render.job_block(job, note=self._note) for job in self._jobs.values()))

    def show(self, job: Json) -> None:
        self._jobs[job["job_id"]] = job
        self._live.refresh()

    def lost(self) -> None:
        self._note = "reconnecting…"
        self._live.refresh()

    def found(self) -> None:
        self._note = ""
        self._live.refresh()

    def close(self) -> None:
        if self._live.is_started:
            self._live.refresh()
            self._live.stop()
