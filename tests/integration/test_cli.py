"""The command line against a real gateway; the worker is simulated on the real streams."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.js.errors import KeyNotFoundError

from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import Expired, now
from shared.contract.jobs import Job, Status
from shared.contract.subjects import EventType
from shared.contract.workers import WorkerState
from shared.secrets.vault import KeyRing
from siteferry.embedded.servers.ports import free_port
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.live.simulator import Simulated
from tests.live.stack import eventually

SITEFERRY = str(Path(sys.executable).parent / "siteferry")
PASSWORD = "Geheim-Kolibri-4711"
SOURCE = "https://shop.example.com"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running, running_status(running):
        yield running


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


@dataclass
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str


def environment(url: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SITEFERRY_")}
    return kept | {"SITEFERRY_URL": url, "SITEFERRY_STATE": "/nonexistent/siteferry", "NO_COLOR": "1", "COLUMNS": "120"}


async def siteferry(
    gateway: Gateway | str, *arguments: str, stdin: str = "", settings: dict[str, str] | None = None
) -> Said:
    """Run a command to its end, without a terminal."""
    url = gateway if isinstance(gateway, str) else gateway.url
    process = await begin(url, *arguments, settings=settings)
    out, err = await asyncio.wait_for(process.communicate(stdin.encode()), 60)
    return Said(process.returncode or 0, out.decode(), err.decode())


async def begin(url: str, *arguments: str, settings: dict[str, str] | None = None) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        SITEFERRY,
        *arguments,
        env=environment(url) | (settings or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


async def submit(gateway: Gateway) -> str:
    said = await siteferry(gateway, "clone", SOURCE, "-u", "admin", "--password-stdin", stdin=PASSWORD + "\n")
    assert said.code == 0, said.err
    return said.out.strip()


def worker_of(gateway: Gateway, bus: Bus, job_id: str, *, pace: float = 0.0) -> Simulated:
    keys = KeyRing.load(gateway.directory / "vault.key")
    worker = Simulated(bus, job_id=job_id, source_url=SOURCE, keys=keys, pace=pace, ticks=2)
    worker.job = Job(job_id=job_id, type="clone", source_url=SOURCE, created_at=now(), updated_at=now())
    return worker


async def next_job(gateway: Gateway, known: set[str]) -> str:
    """The job that is submitted next."""

    def fresh() -> str | None:
        with gateway.client() as api:
            return next((job["job_id"] for job in api.get("/jobs").json()["jobs"] if job["job_id"] not in known), None)

    return str(await eventually(lambda: asyncio.to_thread(fresh), timeout=30, what="a new job"))


def known_jobs(gateway: Gateway) -> set[str]:
    with gateway.client() as api:
        return {job["job_id"] for job in api.get("/jobs", params={"limit": 200}).json()["jobs"]}


async def test_clone_prints_the_job_id_and_nothing_else_on_stdout(gateway: Gateway, bus: Bus) -> None:
    said = await siteferry(
        gateway, "clone", "shop.example.com", "-u", "admin", "--password-stdin", stdin=PASSWORD + "\n"
    )
    assert said.code == 0
    assert said.out.count("\n") == 1
    job_id = said.out.strip()
    assert f"siteferry watch {job_id}" in said.err
    with gateway.client() as api:
        assert api.get(f"/jobs/{job_id}").json()["source_url"] == SOURCE
    files = [path for path in gateway.directory.rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


async def test_what_is_chosen_on_the_command_line_reaches_the_command(gateway: Gateway, bus: Bus) -> None:
    chosen = ["--keep-transients", "--allow-http", "api.example.com", "--allow-http", "pay.example.com"]
    chosen += ["--exclude-table", "stats", "--exclude-path", "wp-content/backups", "--priority", "low", "--ttl", "2h"]
    chosen += ["--media", "remote"]
    login = ["-u", "admin", "--password-stdin"]
    said = await siteferry(gateway, "clone", SOURCE, *login, *chosen, stdin=PASSWORD)
    message = await bus.js.get_last_msg("CLONES", f"clone.requested.low.{said.out.strip()}")
    command = json.loads(message.data or b"")
    assert command["options"] == {
        "exclude_tables": ["stats"],
        "exclude_paths": ["wp-content/backups"],
        "keep_transients": True,
        "constants": [],
        "fresh": False,
        "media": "remote",
        "allow_http": ["api.example.com", "pay.example.com"],
    }
    assert command["ttl_minutes"] == 120
    file = {
        "defaults": {"options": {"exclude_tables": ["log"]}},
        "clones": [{"source_url": SOURCE, "pairing_key": "k"}],
    }
    made = await siteferry(
        gateway, "batch", "create", "-", "--keep-transients", "--media", "remote", stdin=json.dumps(file)
    )
    [job] = json.loads((await siteferry(gateway, "jobs", "--batch", made.out.strip(), "--json")).out)["jobs"]
    message = await bus.js.get_last_msg("CLONES", f"clone.requested.*.{job['job_id']}")
    options = json.loads(message.data or b"")["options"]
    assert (options["exclude_tables"], options["keep_transients"], options["media"]) == (["log"], True, "remote")


async def test_clone_watched_to_its_end_without_a_terminal(gateway: Gateway, bus: Bus) -> None:
    known = known_jobs(gateway)
    arguments = ("clone", SOURCE, "-u", "admin", "--password", PASSWORD, "--name", "Shop", "--ttl", "2h", "--watch")
    process = await begin(gateway.url, *arguments)
    worker = worker_of(gateway, bus, await next_job(gateway, known), pace=0.1)
    await worker.start()
    await worker.run_steps()
    await worker.complete()
    out, err = (part.decode() for part in await asyncio.wait_for(process.communicate(), 60))
    assert process.returncode == 0
    assert f"URL       http://{worker.job_id}.localhost:8080/" in out
    assert "Password  correct-horse-7" in out
    assert "Note      Transients were left out" in out
    lines = [line for line in err.splitlines() if line.startswith(worker.job_id)]
    assert "Copy files" in err
    assert len(lines) == len(set(lines)) <= 14
    assert "completed" in lines[-1]
    assert PASSWORD not in out + err


async def test_json_is_json_lines_and_nothing_else(gateway: Gateway, bus: Bus) -> None:
    job_id = await submit(gateway)
    process = await begin(gateway.url, "watch", job_id, "--json")
    worker = worker_of(gateway, bus, job_id, pace=0.05)
    await worker.start()
    await worker.run_steps()
    await worker.complete()
    out, err = (part.decode() for part in await asyncio.wait_for(process.communicate(), 60))
    jobs = [json.loads(line) for line in out.splitlines()]
    assert (process.returncode, err) == (0, "")
    assert {job["job_id"] for job in jobs} == {job_id}
    assert [job["progress"] for job in jobs] == sorted(job["progress"] for job in jobs)
    assert jobs[-1]["status"] == "completed"
    assert jobs[-1]["result"]["password"] == "correct-horse-7"


async def test_exit_code_follows_the_job(gateway: Gateway, bus: Bus) -> None:
    failed, cancelled = await submit(gateway), await submit(gateway)
    worker = worker_of(gateway, bus, failed)
    await worker.start()
    await worker.fail()
    said = await siteferry(gateway, "watch", failed)
    assert (said.code, said.out) == (1, "")
    assert "Failed: The source stopped answering" in said.err
    assert "Hint: Check that the site is up" in said.err
    assert (await siteferry(gateway, "job", failed)).code == 1

    said = await siteferry(gateway, "cancel", cancelled)
    assert (said.code, said.err.strip()) == (0, f"{cancelled}: cancelling")
    worker = worker_of(gateway, bus, cancelled)
    await worker.emit(EventType.CANCELLED, status=Status.CANCELLED, finished_at=now(), message="Cancelled")
    assert (await siteferry(gateway, "watch", cancelled)).code == 5
    assert (await siteferry(gateway, "watch", cancelled, failed)).code == 1

    pending = await submit(gateway)
    said = await siteferry(gateway, "watch", pending, "--timeout", "0.5")
    assert said.code == 4
    assert f"siteferry watch {pending}" in said.err


async def test_interrupt_detaches_and_says_how_to_come_back(gateway: Gateway) -> None:
    job_id = await submit(gateway)
    process = await begin(gateway.url, "watch", job_id)
    assert process.stderr
    await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 130
    assert f"siteferry watch {job_id}" in err.decode()
    assert f"siteferry cancel {job_id}" in err.decode()
    with gateway.client() as api:
        assert api.get(f"/jobs/{job_id}").json()["status"] == "pending"


async def test_outage_while_watching_is_said_and_survived(bus: Bus) -> None:
    with running_gateway(rate_limit_per_minute=0) as gateway:
        job_id = await submit(gateway)
        process = await begin(gateway.url, "watch", job_id)
        assert process.stderr
        await process.stderr.readline()
        await asyncio.to_thread(gateway.stop_nats)
        assert b"reconnecting" in await asyncio.wait_for(process.stderr.readline(), 20)
        await asyncio.to_thread(gateway.start_nats)
        async with connect(gateway.settings, service="test") as own:
            worker = worker_of(gateway, own, job_id)
            await worker.start()
            await worker.complete()
            out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0
        assert b"connected again" in err
        assert b"correct-horse-7" in out


async def test_nothing_there_says_how_to_start_it() -> None:
    url = f"http://localhost:{free_port()}"
    for arguments in (["jobs"], ["watch", "clone-0k3v9x2m7c1p5t8w"], ["delete", "clone-0k3v9x2m7c1p5t8w"]):
        said = await siteferry(url, *arguments)
        assert (said.code, said.out) == (3, "")
        assert said.err.splitlines()[0] == f"siteferry: Nothing answers at {url}."
        assert "siteferry up" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["clone", SOURCE], "--username is missing"),
        (["clone", SOURCE, "-u", "a"], "--password-stdin"),
        (["clone", SOURCE, "-u", "a", "--password", "x", "--password-stdin"], "either"),
        (["clone", SOURCE, "-u", "a", "--pairing-key-stdin"], "stands alone"),
        (["clone", SOURCE, "-u", "a", "--password-stdin"], "no password on stdin"),
        (["clone", "ftp://x.test", "-u", "a", "--password", PASSWORD], "Use https://"),
        (["clone", SOURCE, "-u", "a", "--password", PASSWORD, "--ttl", "soon"], "not a time"),
        (["clone", SOURCE, "-u", "a", "--password", PASSWORD, "--priority", "urgent"], "priority"),
        (["extend", "clone-0k3v9x2m7c1p5t8w", "--ttl", "60d"], "5 minutes to 30 days"),
        (["nonsense"], "nonsense"),
        (["job"], "JOB"),
    ],
)
async def test_wrong_usage_is_two_with_a_sentence(gateway: Gateway, arguments: list[str], words: str) -> None:
    said = await siteferry(gateway, *arguments)
    assert (said.code, said.out) == (2, "")
    assert words in said.err
    assert "Traceback" not in said.err
    assert PASSWORD not in said.err


async def test_unknown_job_is_a_sentence(gateway: Gateway) -> None:
    for command in ("job", "watch", "cancel", "retry", "replay"):
        said = await siteferry(gateway, command, "clone-0k3v9x2m7c1p5t8w")
        assert said.code == 1
        assert "There is no such job." in said.err


async def test_lists_are_tab_separated_in_a_pipe_and_documents_with_json(gateway: Gateway, bus: Bus) -> None:
    job_id = await submit(gateway)
    worker = worker_of(gateway, bus, job_id)
    await worker.start()
    await worker.complete()

    async def projected() -> bool:
        said = await siteferry(gateway, "clones", "--json")
        return job_id in {clone["clone_id"] for clone in json.loads(said.out)["clones"]}

    await eventually(projected, what="the projection")
    said = await siteferry(gateway, "jobs", "--status", "completed")
    header, *rows = [line.split("\t") for line in said.out.splitlines()]
    assert header == ["JOB", "STATUS", "DONE", "CREATED", "SOURCE"]
    assert [job_id, "completed", "100%"] in [row[:3] for row in rows]
    page = json.loads((await siteferry(gateway, "jobs", "--json", "--limit", "1")).out)
    assert len(page["jobs"]) == 1
    said = await siteferry(gateway, "clones")
    assert any(line.startswith(f"{job_id}\tactive\t") for line in said.out.splitlines())


async def test_clone_is_extended_and_deleted(gateway: Gateway, bus: Bus) -> None:
    job_id = await submit(gateway)
    worker = worker_of(gateway, bus, job_id)
    await worker.start()
    await worker.complete()
    said = await siteferry(gateway, "extend", job_id, "--ttl", "7d")
    assert said.code == 0
    assert "in 7 d" in said.err or "in 6 d 23 h" in said.err
    process = await begin(gateway.url, "delete", job_id, "--wait", "--json")

    async def asked() -> bool:
        info = await bus.js.stream_info("CLONES", subjects_filter=f"clone.expire.*.{job_id}")
        return bool(info.state.subjects)

    await eventually(asked, what="the deletion")
    await bus.publish(Expired(job_id=job_id, reason="deleted"))
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert json.loads(out)["state"] == "deleted"


async def test_many_are_retried_cancelled_and_deleted_by_what_fits(gateway: Gateway, bus: Bus) -> None:
    jobs = [await Simulated(bus, source_url="https://fleet.example.com", ticks=1).submit() for _ in range(4)]
    for job in jobs[:2]:
        await job.start()
        await job.fail()

    async def shown() -> bool:
        found = json.loads((await siteferry(gateway, "jobs", "--source", "fleet", "--status", "failed", "--json")).out)
        return len(found["jobs"]) == 2

    await eventually(shown, timeout=30, what="the failed jobs")
    # nobody gave these jobs a login
    said = await siteferry(gateway, "retry", "--where", "source=fleet", "--ttl", "7d")
    assert (said.code, said.out.startswith("operation-")) == (1, True), said.err
    assert "0 of 2 run again; 2 were refused." in said.err
    assert f"{jobs[0].job_id}: The login this job was given has been forgotten" in said.err
    operation = said.out.strip()
    said = await siteferry(gateway, "operation", operation, "--wait", "--json")
    assert (said.code, json.loads(said.out)["refused"]) == (1, 2)

    said = await siteferry(gateway, "cancel", "--where", "source=fleet", "--where", "status=pending", "--json")
    assert (said.code, json.loads(said.out)["done"]) == (0, 2)
    for arguments, told in (
        (["retry"], "Give either ids or --where"),
        (["delete", "--where", "fleet"], "is not like status=failed"),
        (["cancel", "--where", "state=failed"], "not a field"),
        (["retry", "x", "--options", "{"], "no JSON"),
    ):
        said = await siteferry(gateway, *arguments)
        assert (said.code, told in said.err) == (2, True), said.err
    said = await siteferry(gateway, "delete", jobs[0].job_id, jobs[1].job_id)
    assert (said.code, "2 were refused" in said.err, "There is no such clone" in said.err) == (1, True, True)


async def test_replay_tells_the_story_and_the_nats_commands(gateway: Gateway, bus: Bus) -> None:
    job_id = await submit(gateway)
    worker = worker_of(gateway, bus, job_id)
    await worker.start()
    await worker.fail()
    said = await siteferry(gateway, "replay", job_id)
    assert [line.split()[3] for line in said.out.splitlines()] == ["requested", "started", "failed"]
    assert f"nats stream view CLONES --subject 'clone.*.*.{job_id}'" in said.err
    story = json.loads((await siteferry(gateway, "replay", job_id, "--json")).out)
    assert [message["type"] for message in story["messages"]] == ["requested", "started", "failed"]


async def test_retry_runs_a_failed_job_again(gateway: Gateway, bus: Bus) -> None:
    job_id = await submit(gateway)
    worker = worker_of(gateway, bus, job_id)
    await worker.start()
    await worker.fail()
    process = await begin(gateway.url, "retry", job_id, "--watch")

    async def asked() -> bool:
        info = await bus.js.stream_info("CLONES", subjects_filter=f"clone.retry.*.{job_id}")
        return bool(info.state.subjects)

    await eventually(asked, what="the retry")
    await worker.start(attempt=2)
    await worker.complete()
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, b"correct-horse-7" in out) == (0, True)


async def test_on_a_terminal_it_is_drawn_live(gateway: Gateway, bus: Bus) -> None:
    job_id = await submit(gateway)
    main, side = pty.openpty()
    command = [SITEFERRY, "watch", job_id]
    shown = environment(gateway.url) | {"TERM": "xterm-256color"}
    process = subprocess.Popen(command, env=shown, stdin=side, stdout=side, stderr=side, start_new_session=True)
    os.close(side)
    screen = bytearray()

    def read() -> None:
        while True:
            try:
                screen.extend(os.read(main, 65536))
            except OSError:  # the other side is closed
                return

    reader = asyncio.create_task(asyncio.to_thread(read))
    worker = worker_of(gateway, bus, job_id, pace=0.3)
    await worker.start()
    await worker.run_steps()
    await worker.complete()
    await asyncio.wait_for(reader, 30)
    os.close(main)
    assert process.wait(10) == 0
    text = screen.decode()
    assert "Copy and rewrite the database" in text
    assert "136,214 rows" in text
    assert "100.0%" in text
    assert "correct-horse-7" in text


def test_help_shows_examples() -> None:
    with tempfile.TemporaryDirectory(prefix="siteferry-") as home:
        shown = environment("http://localhost:1") | {"HOME": home}
        for command, words in [((), "Exit codes"), (("clone",), "--password-stdin"), (("watch",), "siteferry watch")]:
            said = subprocess.run(
                [SITEFERRY, *command, "--help"], env=shown, capture_output=True, text=True, check=True
            )
            assert words in said.stdout
        version = subprocess.run([SITEFERRY, "version"], env=shown, capture_output=True, text=True, check=True)
        assert version.stdout.strip() == "0.1.0"


async def test_rebuild_projection_mends_what_is_wrong(gateway: Gateway, bus: Bus) -> None:
    job_id = await submit(gateway)
    bucket = await bus.bucket(streams.JOBS)

    async def projected() -> bytes | None:
        try:
            return (await bucket.get(job_id)).value
        except KeyNotFoundError:
            return None

    right = await eventually(projected, what="the job in the projection")
    await bucket.put(job_id, b"not a job")
    command = ("rebuild-projection", "--json")
    reach = {
        "SITEFERRY_NATS_URL": gateway.nats.url,
        "SITEFERRY_NATS_TOKEN_FILE": str(gateway.nats.token_file),
    }
    said = await siteferry(gateway, *command, settings=reach)
    assert said.code == 0, said.err
    report = json.loads(said.out)
    assert report["changed"] >= 1
    assert await projected() == right
    assert json.loads((await siteferry(gateway, *command, settings=reach)).out) == report | {"changed": 0}

    nowhere = {"SITEFERRY_NATS_URL": f"nats://127.0.0.1:{free_port()}"}
    said = await siteferry(gateway, *command, settings=nowhere)
    assert (said.code, said.out) == (3, "")
    assert said.err.startswith("siteferry: NATS does not answer at nats://127.0.0.1:")


async def test_keys_are_made_listed_rotated_and_revoked(gateway: Gateway) -> None:
    async def opens(secret: str) -> int:
        return (await siteferry(gateway, "jobs", settings={"SITEFERRY_API_KEY": secret})).code

    async def ends(secret: str) -> None:
        async def refused() -> bool:
            return await opens(secret) == 3

        await eventually(refused, timeout=20, what="the end of a key")

    wish = ["--tenant", "bakery", "--scope", "read", "--lane", "low", "--rate", "60", "--slots", "2", "--expires", "30"]
    made = json.loads((await siteferry(gateway, "keys", "create", "CI of the bakery", *wish, "--json")).out)
    assert await opens(made["secret"]) == 0
    listed = (await siteferry(gateway, "keys", "list", "--tenant", "bakery")).out
    row = [made["id"], "active", "bakery", "read", "low, 60/min, 2 slots"]
    assert [line.split("\t")[:5] for line in listed.splitlines()[1:]] == [row]
    assert made["secret"] not in listed

    said = await siteferry(gateway, "keys", "rotate", made["id"])
    [second] = [word for word in said.out.split() if word.startswith("sfk_")]
    assert await opens(second) == 0
    await ends(made["secret"])

    assert (await siteferry(gateway, "keys", "revoke", made["id"])).code == 0
    await ends(second)
    assert made["id"] not in (await siteferry(gateway, "keys", "list")).out
    assert f"{made['id']}\trevoked" in (await siteferry(gateway, "keys", "list", "--all")).out


async def test_who_works_on_what(gateway: Gateway, bus: Bus) -> None:
    said = await siteferry(gateway, "workers")
    assert (said.code, "No worker has been heard of" in said.err) == (0, True)
    job_id = await submit(gateway)
    await worker_of(gateway, bus, job_id).start()
    state = WorkerState(
        id="cloner/a1b2c3", kind="clone", slots=4, jobs=[job_id], free_bytes=2 * 10**9, started_at=now(), said_at=now()
    )
    await bus.js.publish(f"$KV.{streams.WORKERS}.cloner.a1b2c3", state.model_dump_json().encode())
    header, worker, job = [line.split("\t") for line in (await siteferry(gateway, "workers")).out.splitlines()]
    assert header == ["WORKER", "JOBS", "SLOTS", "FREE", "DOES"]
    assert worker[:4] == ["cloner/a1b2c3", "clone", "1 of 4", "2.0 GB"]
    assert job[1] == job_id
