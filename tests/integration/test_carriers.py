"""Carriers as real processes: what is left to them, what is believed of them, and how they end."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.cloner.app import CARRIED
from shared import system_calls
from shared.contract.jobs import Note
from shared.engine.carriers import landlock, messages
from shared.engine.carriers.carrier import Recipe
from shared.engine.carriers.confine import Account
from shared.engine.carriers.errors import (
    CarrierDied,
    CarrierFault,
    CarrierOutOfMemory,
    CarrierStalled,
    JobTooLong,
    SiteNotUnderstood,
)
from shared.engine.carriers.pool import Carriers, JobCarriers, Passing
from shared.engine.token import StopToken
from shared.errors import Cancelled, JobError
from shared.wordpress.errors import SourceUnreachable
from tests.engine import carried
from tests.engine.carried import SHORT, Bench, carriers
from tests.integration.house import alive, eventually, place
from tests.integration.ordinary import run_again

ROOT = os.geteuid() == 0
KEPT = frozenset({"secret"})


class Job(Passing):
    """A job as the worker has it, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Note] = []
        self.reported: list[tuple[int | None, str | None]] = []
        self.durable: list[dict[str, Any]] = []

    def report(self, done: Any = None, total: Any = None, unit: Any = None, message: Any = None) -> None:
        self.reported.append((done, message))

    def note(self, note: Note) -> None:
        self.notes.append(note)

    def scrub(self, text: str) -> str:
        return text.replace("hunter22", "[redacted]")

    async def persist(self) -> None:
        self.durable.append(json.loads(json.dumps(self.state)))


@asynccontextmanager
async def working(
    pool: Carriers | None = None, job: Job | None = None, **recipe: Any
) -> AsyncIterator[tuple[Job, Callable[..., Any], JobCarriers]]:
    job = job or Job()
    mine = JobCarriers(pool or carriers(), job)

    async def make() -> Recipe:
        return Recipe("one", Bench, kept=KEPT, **recipe)

    async def call(function: Any, *arguments: Any) -> Any:
        return await asyncio.wait_for(mine.call("one", make, function, *arguments), 60)

    try:
        yield job, call, mine
    finally:
        await mine.close()


async def test_memory_progress_and_notes_cross_the_pipe() -> None:
    async with working() as (job, call, _):
        job.state.update(number=2, other=[1], secret="sealed")
        assert await call(carried.count, 5) == 5
        assert [state["number"] for state in job.durable] == [3, 4, 5]
        assert job.state == {"number": 5, "other": [1], "secret": "sealed"}
        assert (5, "at 5") in job.reported
        job.state["number"] = 6  # by the worker, between two calls
        assert await call(carried.remembered) == {"number": 6, "other": [1]}
        await call(carried.note)
        assert job.notes[0].code == "seen"
        assert "\x1b" not in job.notes[0].message
        assert [len(sample) for sample in job.notes[0].samples] == [1, 500]


async def test_a_carrier_is_nobody_and_has_nothing() -> None:
    with place() as folder:
        key = folder / "vault.key"
        key.write_text("secret")
        key.chmod(0o644)
        mine = folder / "mine"
        mine.mkdir()
        mine.chmod(0o777)
        async with working(writable=(str(mine),)) as (_, call, _pool):
            me = await call(carried.who)
            assert me["environment"] == {}
            assert len(me["descriptors"]) == 5, "standard descriptors, the pipe, the shelf"
            if ROOT:
                assert me["uid"] != 0
                assert me["groups"] == []
            tried = await call(carried.tries, [str(key), "/etc/passwd", "/etc/shadow", __file__], str(mine))
            where = await call(carried.write, str(mine / "file"))
            assert where == me["uid"]
        if not landlock.abi():
            pytest.skip("this kernel has no Landlock")
        came_through = {name for name, how in tried.items() if how == "open"} - {f"read {__file__}"}
        assert came_through == set()
        assert {path.name for path in folder.iterdir()} == {"vault.key", "mine"}
        assert [path.name for path in mine.iterdir()] == ["file"]


async def test_what_python_loads_late_is_found_wherever_python_is() -> None:
    async with working() as (_, call, _pool):
        assert await call(carried.load_late) == "2026-11-29xml.dom.minidom"


async def test_a_carrier_runs_under_the_account_it_is_given() -> None:
    if not ROOT:
        pytest.skip("only root changes accounts")
    async with working(account=Account(23456, 23457)) as (_, call, _pool):
        assert (await call(carried.who))["uid"] == 23456


async def test_carriers_of_one_job_hand_one_another_what_the_worker_does_not_see() -> None:
    job = Job()
    mine = JobCarriers(carriers(), job)

    async def make() -> Recipe:
        return Recipe("any", Bench)

    try:
        assert await mine.call("one", make, carried.kept) is None
        await mine.call("one", make, carried.keep, "facts")
        await mine.close("one")
        assert await mine.call("two", make, carried.kept) == "facts"
    finally:
        await mine.close()


async def test_errors_arrive_as_what_they_are() -> None:
    async with working() as (_, call, _pool):
        with pytest.raises(SourceUnreachable) as caught:
            await call(carried.fail)
        error = caught.value
        assert (error.message, error.retry_after, error.details) == ("The source is away.", 7, {"status": 503})
        assert error.hint == SourceUnreachable.hint
        with pytest.raises(CarrierFault, match="nobody foresaw this"):
            await call(carried.surprise)
        with pytest.raises(SiteNotUnderstood):
            await call(carried.misread)


@pytest.mark.parametrize("function", [carried.spin, carried.backtrack, carried.chatter])
async def test_what_does_not_advance_is_stopped_and_only_that(function: Any) -> None:
    pool = carriers(SHORT)
    async with working(pool) as (_, call, _mine), working(pool) as (_, other, _others):
        stuck = asyncio.create_task(call(function))
        assert await other(carried.count, 40, 0.1) == 40, "another job works on meanwhile"
        with pytest.raises(CarrierStalled):
            await stuck
        assert await call(carried.count, 1) == 1, "and there is a new carrier for this one"


async def test_a_job_has_a_longest_time() -> None:
    job = Job()
    job.began = datetime.now(UTC) - timedelta(hours=2)
    async with working(carriers(SHORT), job) as (_, call, _mine):
        with pytest.raises(JobTooLong):
            await call(carried.count, 1000, 0.1)


@pytest.mark.parametrize(
    ("function", "error"),
    [(carried.eat, CarrierOutOfMemory), (carried.abort, CarrierDied), (carried.leave, CarrierDied)],
)
async def test_what_dies_is_a_typed_failure_of_that_job_alone(function: Any, error: type[JobError]) -> None:
    async with working() as (_, call, _mine), working() as (_, other, _others):
        counting = asyncio.create_task(other(carried.count, 20, 0.05))
        with pytest.raises(error):
            await call(function)
        assert await counting == 20
        assert await call(carried.count, 1) == 1


async def test_a_killed_carrier_says_so_and_its_memory_is_as_it_was_saved() -> None:
    async with working() as (job, call, mine):
        counting = asyncio.create_task(call(carried.count, 1000, 0.02))
        while not job.durable:
            await asyncio.sleep(0.02)
        os.kill(mine._carriers["one"].pid, signal.SIGKILL)
        with pytest.raises(CarrierDied, match="SIGKILL"):
            await counting
        assert job.state["number"] == job.durable[-1]["number"]


async def test_a_dead_fork_server_is_started_again() -> None:
    pool = carriers(memory=400 << 20)
    async with working(pool) as (_, call, mine):
        running = asyncio.create_task(call(carried.sleep_well, 30))
        while not mine.living:
            await asyncio.sleep(0.02)
        pid = mine._carriers["one"].pid
        os.kill(pool.forks.pid, signal.SIGKILL)
        with pytest.raises(CarrierDied):
            await running
        eventually(lambda: not alive(pid), what="the end of its carriers")
        assert await call(carried.count, 1) == 1


async def test_stop_and_lost_lease_reach_a_carrier() -> None:
    async with working() as (job, call, _mine):
        sleeping = asyncio.create_task(call(carried.sleep_well, 30))
        await asyncio.sleep(0.3)
        job.token.stop(Cancelled)
        with pytest.raises(Cancelled):
            await asyncio.wait_for(sleeping, 5)
        job.token = StopToken()  # as for removals
        assert await call(carried.count, 1) == 1
        sleeping = asyncio.create_task(call(carried.sleep_well, 30))
        await asyncio.sleep(0.3)
        job.token.alive_until(asyncio.get_running_loop().time() + 0.5)
        with pytest.raises(JobError) as caught:
            await asyncio.wait_for(sleeping, 5)
        assert caught.value.code == "lease_lost"


async def test_giving_up_on_a_call_ends_its_carrier() -> None:
    async with working() as (_, call, mine):
        spinning = asyncio.create_task(call(carried.spin))
        while not mine.living:
            await asyncio.sleep(0.02)
        pid = mine._carriers["one"].pid
        spinning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spinning
        eventually(lambda: not alive(pid), what="the end of the carrier")


def frame(**said: Any) -> bytes:
    return json.dumps(said).encode()


HOSTILE = {
    "no JSON": b"\x80\x04}",
    "no message": b"[]",
    "unknown": frame(t="exec", code="print(1)"),
    "too deep": b'{"t":"returned","call":1,"changes":{},"value":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "huge number": frame(t="report", call=1, done=10**40),
    "negative": frame(t="report", call=1, done=-1),
    "not a number": b'{"t":"report","call":1,"done":NaN}',
    "kept name": frame(t="save", number=1, changes={"set": {"secret": "mine"}}),
    "kept name dropped": frame(t="save", number=1, changes={"drop": ["secret"]}),
    "many names": frame(t="save", number=1, changes={"set": {f"n{n}": n for n in range(500)}}),
    "a call of nobody": frame(t="returned", call=77, changes={}),
    "an unknown error": frame(t="failed", call=1, changes={}, fault={"kind": "os", "name": "os:system"}),
    "extra": frame(t="note", code="a", message="b", stream="clone.requested"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_no_carrier_says_ends_it(name: str) -> None:
    async with working() as (job, call, _mine):
        job.state["secret"] = "sealed"
        with pytest.raises(CarrierDied, match="broke the rules"):
            await call(carried.say, HOSTILE[name])
        assert job.state == {"secret": "sealed"}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "job", "name": "os:system", "message": "x"},
        {"kind": "job", "name": "shared.errors:Temporary.__init__", "message": "x"},
        {"kind": "job", "name": "antigravity:x", "message": "x"},
        {"kind": "job", "name": "shared.errors:Cancelled", "message": "x"},
        {"kind": "job", "name": "shared.errors:LeaseLost", "message": "x"},
    ],
)
async def test_errors_of_strangers_are_not_believed(fault: dict[str, Any]) -> None:
    async with working() as (_, call, _mine):
        with pytest.raises((CarrierFault, CarrierDied)):
            await call(carried.say, frame(t="failed", call=1, changes={}, fault=fault))
    assert "antigravity" not in sys.modules


async def test_a_frame_is_bounded_before_it_is_read() -> None:
    async with working() as (_, call, _mine):
        with pytest.raises(CarrierDied, match="broke the rules"):
            await call(carried.say_raw, messages.LENGTH.pack(messages.LARGEST + 1))


async def test_a_carrier_that_talks_without_end_delays_nobody() -> None:
    pool = carriers(SHORT)
    flood = frame(t="report", call=1, done=1, message="x" * 400)
    async with working(pool) as (_, call, _mine), working(pool) as (_, other, _others):
        talking = asyncio.create_task(call(carried.say, flood, 1_000_000))
        assert await other(carried.count, 20, 0.05) == 20
        with pytest.raises(CarrierStalled):
            await talking


DIES = """
import asyncio, os, sys
from tests.engine import carried
from tests.engine.carried import Bench, carriers
from shared.engine.carriers.carrier import Recipe
from shared.engine.carriers.pool import JobCarriers, Passing
async def main():
    pool = carriers()
    mine = JobCarriers(pool, Passing())
    async def make():
        return Recipe("one", Bench)
    await mine.call("one", make, carried.count, 1)
    print(pool.forks.pid, mine._carriers["one"].pid, flush=True)
    await mine.call("one", make, carried.spin)
asyncio.run(main())
"""


def test_carriers_end_with_their_worker() -> None:
    with subprocess.Popen([sys.executable, "-c", DIES], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        server, carrier = map(int, worker.stdout.readline().split())
        assert alive(server)
        assert alive(carrier)
        worker.kill()
    eventually(lambda: not alive(server) and not alive(carrier), what="the end of both")


def test_the_same_as_an_ordinary_user() -> None:
    """The whole file once more, under an account without rights."""
    with place() as home:
        assert " passed" in run_again(__file__, home)


async def test_no_carrier_connects_to_ports_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """NATS, the gateway without keys: by its own client nowhere, by any other means where the kernel knows ports."""
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(answering()) for _ in range(2))
        monkeypatch.setenv("SITEFERRY_OWN_PORTS", f"1,{ours}")
        pool = Carriers((*CARRIED, carried.__name__))
        stack.callback(pool.close)
        async with working(pool) as (_, call, _pool):
            found, elsewhere = await call(carried.connect, ours), await call(carried.connect, theirs)
    sites = {way for way in found if way.startswith("as to a site")}
    assert {found[way] for way in sites} == {"AddressRefused"}
    assert {way for way, how in elsewhere.items() if how == "open"} >= {"TCP", *sites}, "the ways do lead there"
    if landlock.abi() >= landlock.PORTS_SINCE and system_calls.known():
        assert {way for way, how in found.items() if how == "open"} == set()


@contextmanager
def answering() -> Iterator[int]:
    """A server on loopback; its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def test_landlock_leaves_out_what_is_not_named() -> None:
    if not landlock.abi():
        pytest.skip("this kernel has no Landlock")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").mkdir()
        Path(folder, "out").write_text("x")
        code = (
            "import os, sys\n"
            "from shared.engine.carriers import landlock\n"
            "from shared.engine.carriers.confine import PR_SET_NO_NEW_PRIVS, prctl\n"
            "prctl(PR_SET_NO_NEW_PRIVS, 1)\n"
            "landlock.enforce(landlock.prepare(readable=[], writable=[sys.argv[1] + '/in']))\n"
            "open(sys.argv[1] + '/in/new', 'w').write('x')\n"
            "try: open(sys.argv[1] + '/out')\n"
            "except PermissionError: print('refused')\n"
            "try: os.link(sys.argv[1] + '/out', sys.argv[1] + '/in/link')\n"
            "except OSError: print('refused')\n"
        )
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused", "refused"]
