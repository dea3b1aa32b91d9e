"""Answers of the gateway while the projection is late, and about what later versions have stored."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from nats.js.errors import KeyNotFoundError
from nats.js.kv import KeyValue

from services.gateway.lenient import read_as
from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import Expired
from shared.contract.jobs import Clone, Job
from shared.secrets.vault import KeyRing
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.live.simulator import Simulated
from tests.live.stack import eventually

SOON = 60
"""Seconds; it is 3 on a machine that has nothing else to do."""


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Gateway, int]]:
    """A gateway, and the process of the status service beside it."""
    with running_gateway(rate_limit_per_minute=0) as gateway, running_status(gateway) as status:
        yield gateway, status.pid


@pytest.fixture
async def bus(both: tuple[Gateway, int]) -> AsyncIterator[Bus]:
    async with connect(both[0].settings, service="test") as bus:
        yield bus


async def test_a_status_service_that_stands_still_makes_no_answer_old(both: tuple[Gateway, int], bus: Bus) -> None:
    gateway, status = both
    keys = KeyRing.load(gateway.directory / "vault.key")
    with gateway.client() as api:
        job = await Simulated(bus, name="Before", keys=keys, ticks=1).submit()
        gone = await Simulated(bus, name="Its clone goes", keys=keys, ticks=1).play()
        await eventually(lambda: api.get(f"/clones/{gone.job_id}").status_code == 200, timeout=SOON)
        await eventually(lambda: len(api.get("/jobs").json()["jobs"]) == 2, timeout=SOON)
        os.kill(status, signal.SIGSTOP)
        try:
            await job.start()
            await job.run_steps()
            await job.complete()
            late = await Simulated(bus, name="Meanwhile", keys=keys).submit()
            await bus.publish(Expired(job_id=gone.job_id, reason="deleted"))

            def told() -> dict[str, str]:
                return {item["job_id"]: item["status"] for item in api.get("/jobs").json()["jobs"]}

            await eventually(lambda: told().get(job.job_id) == "completed", timeout=SOON, what="the list")
            assert told()[late.job_id] == "pending"
            assert api.get(f"/jobs/{job.job_id}").json()["status"] == "completed"
            assert api.get(f"/jobs/{job.job_id}").json()["result"]["password"] == "correct-horse-7"
            assert api.get(f"/clones/{gone.job_id}").json()["state"] == "deleted"
            assert [clone["clone_id"] for clone in api.get("/clones").json()["clones"]] == [job.job_id]
            assert api.get(f"/clones/{gone.job_id}/mail").json()["code"] == "clone_gone"
        finally:
            os.kill(status, signal.SIGCONT)
        await eventually(lambda: "caught up" in gateway.log, timeout=SOON, what="catching up")
        assert told() == {job.job_id: "completed", late.job_id: "pending", gone.job_id: "completed"}


async def projected(bucket: KeyValue, key: str, field: str, value: str) -> dict[str, Any]:
    """What the status service has stored, once it has come so far: the gateway may know of it earlier."""

    async def stored() -> dict[str, Any] | None:
        with suppress(KeyNotFoundError):
            record: dict[str, Any] = json.loads((await bucket.get(key)).value or b"{}")
            return record if record.get(field) == value else None
        return None

    found: dict[str, Any] = await eventually(stored, timeout=SOON, what="the projection")
    return found


LATER: list[tuple[str, dict[str, Any], str]] = [
    ("an unknown status", {"status": "hibernating"}, "running"),
    ("an unknown phase", {"phase": "negotiating"}, "completed"),
    ("an unknown result", {"result": {"kind": "image", "layers": [1]}}, "completed"),
    ("an unknown step state", {"steps": [{"name": "a", "title": "A", "state": "paused"}]}, "completed"),
    ("an unknown lane", {"lane": "urgent"}, "completed"),
    ("an unknown error", {"error": "text"}, "completed"),
    ("unknown fields", {"colour": "blue", "nested": {"a": [1]}}, "completed"),
]


@pytest.mark.parametrize(("what", "change", "status"), LATER, ids=[what for what, *_ in LATER])
async def test_what_a_later_version_stored_is_told_as_far_as_it_is_understood(
    both: tuple[Gateway, int], bus: Bus, what: str, change: dict[str, Any], status: str
) -> None:
    gateway, _ = both
    with gateway.client() as api:
        job = await Simulated(bus, name=what, ticks=1).play()
        bucket = await bus.bucket(streams.JOBS)
        stored = await projected(bucket, job.job_id, "status", "completed")
        await bucket.put(job.job_id, json.dumps({**stored, **change}).encode())
        answer = api.get(f"/jobs/{job.job_id}")
        assert (answer.status_code, answer.json()["status"]) == (200, status)
        assert answer.json()["name"] == what
        listed = api.get("/jobs", params={"q": what}).json()["jobs"]
        assert [(item["job_id"], item["status"]) for item in listed] == [(job.job_id, status)]


async def test_a_clone_of_a_later_version_is_told(both: tuple[Gateway, int], bus: Bus) -> None:
    gateway, _ = both
    with gateway.client() as api:
        job = await Simulated(bus, name="Sleeping", ticks=1).play()
        bucket = await bus.bucket(streams.CLONES)
        stored = await projected(bucket, job.job_id, "state", "active")
        await bucket.put(job.job_id, json.dumps({**stored, "state": "asleep"}).encode())
        assert api.get(f"/clones/{job.job_id}").json()["clone_url"]
        assert api.get(f"/jobs/{job.job_id}").status_code == 200
        assert "Sleeping" in [clone["name"] for clone in api.get("/clones").json()["clones"]]


def test_nothing_is_made_of_what_is_no_record() -> None:
    for data in (b"", b"null", b"[]", b"{}", b'"x"', b"\xff", b'{"job_id": 1}'):
        assert read_as(Job, data) is None
        assert read_as(Clone, data) is None
