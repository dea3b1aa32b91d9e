"""A workflow with the shape of a real one and steps that cost nothing: each makes one thing (a file) and removes it.

What happened goes to a ledger: one line per entry, appended in one write, in the order it happened, by all processes.
The plan of a job travels in its name.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shared.contract.events import CloneRequested
from shared.contract.jobs import CloneResult, Note
from shared.contract.subjects import Kind
from shared.engine.worker import JobContext, NoRoom, Places, StepSpec
from shared.errors import Permanent, Temporary


class Unlucky(Temporary):
    """The other side hiccuped."""

    code = "unlucky"


class Hopeless(Permanent):
    """It can never work."""

    code = "hopeless"
    hint = "Give up."


@dataclass
class Plan:
    """What a light job does."""

    steps: int = 3
    ticks: int = 2
    """Durable cursors inside each step."""
    pause: float = 0.01
    """Seconds between two ticks."""
    fail: dict[str, int] = field(default_factory=dict)
    """Step -> how many times it fails for now."""
    hopeless: str = ""
    """The step that fails for good."""
    bug: str = ""
    """The step that raises something nobody foresaw."""
    deadly: str = ""
    """The step that kills its worker."""
    stubborn: str = ""
    """The step whose thing can not be removed."""
    hold: str = ""
    """The step that goes on until the file `go` is there."""
    retry_after: float | None = None
    space: int = 0
    """Bytes it claims before it makes anything."""
    names: int = 0
    """How many names of tables the job remembers in `s2`."""
    noise: int = 0
    """How many bytes that can not be compressed it remembers in `s2`."""

    def name(self) -> str:
        """What is not as usual, short enough for a job's name at the gateway."""
        usual = asdict(Plan())
        return json.dumps({key: value for key, value in asdict(self).items() if value != usual[key]})


@dataclass(frozen=True)
class Entry:
    """One line of the ledger."""

    job: str
    what: str
    step: str
    pid: int
    fence: int
    attempt: int
    time: float


class Ledger:
    """Append-only, shared by processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._file = directory / "ledger"

    def add(self, context: JobContext, what: str, step: str) -> None:
        entry = Entry(context.job_id, what, step, os.getpid(), context.fence, context.attempt, time.monotonic())
        with self._file.open("ab", buffering=0) as file:
            file.write(json.dumps(asdict(entry)).encode() + b"\n")

    def entries(self, job: str | None = None) -> list[Entry]:
        if not self._file.exists():
            return []
        found = [Entry(**json.loads(line)) for line in self._file.read_text().splitlines()]
        return [entry for entry in found if job in {None, entry.job}]

    def did(self, job: str, what: str) -> list[str]:
        return [entry.step for entry in self.entries(job) if entry.what == what]

    def did_all(self, job: str) -> list[str]:
        return [entry.what for entry in self.entries(job)]

    def thing(self, job: str, step: str) -> Path:
        return self.directory / f"{job}.{step}"

    def things(self, job: str | None = None) -> set[str]:
        return {path.name for path in self.directory.glob(f"{job or 'clone-*'}.*")}


class LightWorkflow:
    """Runs plans."""

    kind: Kind = "clone"

    def __init__(self, directory: Path) -> None:
        self.ledger = Ledger(directory)
        self.most: int | None = None
        """Jobs that may have things at the same time, those that have ended included."""
        self.free = 0
        """Bytes that are free, however much is written."""
        self._making = threading.Lock()

    def places(self) -> Places | None:
        if self.most is None:
            return None
        return Places(self.most, frozenset(thing.partition(".")[0] for thing in self.ledger.things()))

    async def _free(self) -> int:
        return self.free

    def steps(self, command: CloneRequested) -> Sequence[StepSpec]:
        plan = Plan(**json.loads(command.name or "{}"))
        return [self._spec(f"s{number}", plan) for number in range(1, plan.steps + 1)]

    def _spec(self, name: str, plan: Plan) -> StepSpec:
        async def run(context: JobContext) -> None:
            if plan.space:
                await context.claim(plan.space, self._free)
            await context.blocking(self._work, context, name, plan)

        async def undo(context: JobContext) -> None:
            if plan.stubborn == name:
                raise OSError("it will not go")
            thing = self.ledger.thing(context.job_id, name)
            if thing.exists():
                thing.unlink()
                self.ledger.add(context, "undo", name)

        return StepSpec(name=name, title=f"Step {name}", weight=1, run=run, undo=undo)

    def _work(self, context: JobContext, name: str, plan: Plan) -> None:
        self.ledger.add(context, "enter", name)
        self._make(context, name)
        self._trouble(context, name, plan)
        if name == "s2" and (plan.names or plan.noise):
            context.state["plan"] = {f"wp_plugin_table_{number}": {"rows": number} for number in range(plan.names)}
            context.state["noise"] = secrets.token_hex(plan.noise // 2)
        for tick in range(context.state.get(name, 0), plan.ticks):
            context.token.sleep(plan.pause)
            context.report(done=tick + 1, total=plan.ticks, unit="rows")
            context.state[name] = tick + 1
            context.save()
            self.ledger.add(context, f"tick{tick + 1}", name)
        while plan.hold == name and not (self.ledger.directory / "go").exists():
            context.token.sleep(0.01)
        self.ledger.add(context, "leave", name)

    def _make(self, context: JobContext, name: str) -> None:
        with self._making:
            places = self.places()
            if places and context.job_id not in places.taken and len(places.taken) >= places.limit:
                self.ledger.add(context, "refused", name)
                raise NoRoom
            try:
                self.ledger.thing(context.job_id, name).touch(exist_ok=False)
            except FileExistsError:
                return
        self.ledger.add(context, "make", name)

    def _trouble(self, context: JobContext, name: str, plan: Plan) -> None:
        before = len([step for step in self.ledger.did(context.job_id, "trouble") if step == name])
        if before < plan.fail.get(name, 0):
            self.ledger.add(context, "trouble", name)
            raise Unlucky(retry_after=plan.retry_after)
        if plan.hopeless == name:
            raise Hopeless(step=name)
        if plan.bug == name:
            raise KeyError("hunter2")
        if plan.deadly == name:
            self.ledger.add(context, "die", name)
            os.kill(os.getpid(), signal.SIGKILL)

    async def finish(self, context: JobContext) -> CloneResult:
        context.note(Note(code="light", message="A light job"))
        url = f"http://{context.job_id}.localhost/"
        return CloneResult(
            clone_id=context.job_id,
            clone_url=url,
            admin_url=url + "wp-admin/",
            username="admin",
            sealed_password="sealed",
            expires_at=None,
        )

    async def cleanup(self, context: JobContext) -> None:
        self.ledger.add(context, "cleanup", "")
