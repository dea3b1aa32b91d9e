"""Following jobs to their end: polls with ETag, draws on a terminal, says lines elsewhere, JSON Lines on demand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from rich.console import Group
from rich.live import Live

from siteferry.cli import render
from siteferry.cli.client import Api, CliError, Exit, Unreachable
from siteferry.cli.render import Json

POLL = 0.3
"""Seconds between two looks."""
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
    api: Api, job_ids: Sequence[str], *, as_json: bool = False, timeout: float | None = None, quiet: bool = False
) -> Exit:
    """Follow jobs until all have ended; the exit code says how the worst of them did.

    Raises CliError when a job does not exist or the time is up. Ctrl-C only detaches: the jobs go on.
    """
    view: View = JsonView() if as_json else QuietView() if quiet else make_view()
    try:
        jobs = Follower(api, view).follow(job_ids, timeout)
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
            render.result(job)
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
            for job_id in open_ids:
                self._look(job_id)
            if all(self._ended(job_id) for job_id in job_ids):
                break
            if deadline is not None and time.monotonic() >= deadline:
                hint = f"It goes on; come back with: siteferry watch {' '.join(open_ids)}"
                raise CliError(f"Not finished within {timeout:g} s.", hint=hint, code=Exit.TIMEOUT)
            time.sleep(min(PATIENCE, POLL * 2**self._failures))
        return [self._jobs[job_id] for job_id in job_ids]

    def _ended(self, job_id: str) -> bool:
        return job_id in self._jobs and self._jobs[job_id]["status"] in TERMINAL

    def _look(self, job_id: str) -> None:
        try:
            job, self._etags[job_id] = self._api.changed(f"/jobs/{job_id}", self._etags.get(job_id))
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
            self._jobs[job_id] = job
            self._view.show(job)


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
