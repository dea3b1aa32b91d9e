"""`siteferry batch` and `siteferry dead` against a real gateway; the worker is simulated on the real streams."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.status.projection import Projection
from shared.bus.connection import Bus, connect
from shared.contract.events import now
from shared.contract.jobs import Status
from shared.contract.subjects import EventType
from shared.ids import batch_member
from shared.secrets.vault import KeyRing
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.integration.test_cli import begin, siteferry
from tests.live.simulator import Simulated
from tests.live.stack import eventually

PASSWORD = "Flotte-4711"
FLEET = f"source_url,username,password,ttl\none.example,admin,{PASSWORD},7d\ntwo.example,admin,{PASSWORD},\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running, running_status(running):
        yield running


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


async def worker(gateway: Gateway, bus: Bus, batch_id: str, number: int) -> Simulated:
    keys = KeyRing.load(gateway.directory / "vault.key")
    played = await Simulated(bus, job_id=batch_member(batch_id, number), keys=keys).adopt()
    await played.start()
    return played


async def accepted(gateway: Gateway, text: str = FLEET) -> str:
    said = await siteferry(gateway, "batch", "create", "-", stdin=text)
    assert said.code == 0, said.err
    return said.out.strip()


async def test_nothing_is_said_plainly(gateway: Gateway) -> None:
    dead, batches = await siteferry(gateway, "dead"), await siteferry(gateway, "batch", "list")
    assert (dead.code, dead.out, dead.err) == (0, "", "No dead jobs.\n")
    assert (batches.code, batches.out) == (0, "")
    assert "siteferry batch create" in batches.err


async def test_a_file_becomes_a_batch_that_is_waited_for(gateway: Gateway, bus: Bus, tmp_path: Path) -> None:
    file = tmp_path / "fleet.csv"
    file.write_text(FLEET)
    process = await begin(gateway.url, "batch", "create", str(file), "--priority", "low", "--wait", "--json")
    assert process.stdout
    first = json.loads(await process.stdout.readline())
    batch_id = first["batch_id"]
    assert (first["total"], first["status"]) == (2, "pending")
    with gateway.client() as api:
        job = api.get(f"/jobs/{batch_member(batch_id, 1)}").json()
    assert (job["source_url"], job["priority"], job["batch_id"]) == ("https://two.example", "low", batch_id)
    for number in range(2):
        await (await worker(gateway, bus, batch_id, number)).complete()
    out, _ = await process.communicate()
    last = json.loads(out.decode().splitlines()[-1])
    assert (process.returncode, last["status"], last["progress"]) == (0, "completed", 100)


async def test_exit_code_and_words_follow_what_became_of_it(gateway: Gateway, bus: Bus) -> None:
    batch_id = await accepted(gateway)
    process = await begin(gateway.url, "batch", "show", batch_id, "--wait")
    assert process.stderr
    await process.stderr.readline()
    await (await worker(gateway, bus, batch_id, 0)).complete()
    await (await worker(gateway, bus, batch_id, 1)).fail()
    out, _ = await process.communicate()
    assert process.returncode == 1
    assert "partially completed" in out.decode()
    assert "1 completed, 1 failed of 2" in out.decode()
    assert "source_unreachable: The source stopped answering" in out.decode()
    shown = await siteferry(gateway, "batch", "show", batch_id)
    assert (shown.code, shown.out.count("https://")) == (1, 2)
    listed = await siteferry(gateway, "batch", "list")
    assert batch_id in listed.out


async def test_cancel_and_its_exit_code(gateway: Gateway, bus: Bus) -> None:
    batch_id = await accepted(gateway)
    said = await siteferry(gateway, "batch", "cancel", batch_id)
    assert (said.code, "cancelling" in said.out) == (0, True)
    for number in range(2):
        played = await worker(gateway, bus, batch_id, number)
        await played.emit(EventType.CANCELLED, status=Status.CANCELLED, phase=None, finished_at=now(), message="Gone")
    waited = await siteferry(gateway, "batch", "cancel", batch_id, "--wait")
    assert waited.code == 0
    assert (await siteferry(gateway, "batch", "show", batch_id, "--json")).code == 5


async def test_interrupt_only_detaches(gateway: Gateway) -> None:
    batch_id = await accepted(gateway)
    process = await begin(gateway.url, "batch", "show", batch_id, "--wait")
    assert process.stderr
    await process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert f"siteferry batch show {batch_id} --wait" in err.decode()
    with gateway.client() as api:
        assert api.get(f"/batches/{batch_id}").json()["phase"] is None


async def test_refusals_name_the_line_and_nothing_is_submitted(gateway: Gateway, bus: Bus) -> None:
    before = (await bus.js.stream_info("CLONES")).state.last_seq
    text = f"source_url,username,password\none.example,admin,{PASSWORD}\nftp://two.example,admin,{PASSWORD}\n"
    text += "three.example,admin,\n"
    said = await siteferry(gateway, "batch", "create", "-", stdin=text)
    assert said.code == 2
    assert "Line 3 “ftp:” does not begin the address of a site" in said.err
    assert "Nothing was submitted" in said.err
    assert PASSWORD not in said.out + said.err
    wrong = await siteferry(gateway, "batch", "create", "-", stdin="source_url\n\nx,y\n")
    assert (wrong.code, "Line 3 has 2 fields" in wrong.err) == (2, True)
    assert (await bus.js.stream_info("CLONES")).state.last_seq == before


async def test_dead_jobs_say_why_and_what_to_do(gateway: Gateway, bus: Bus) -> None:
    batch_id = await accepted(gateway)
    played = await worker(gateway, bus, batch_id, 0)
    await played.fail()

    async def projected() -> bool:
        job = (await Projection(bus).load(played.job_id)).job
        return job is not None and job.status is Status.FAILED

    await eventually(projected, what="the projection")
    said = await siteferry(gateway, "dead", "--source", "one.example")
    assert said.code == 0
    job = next(line for line in said.out.splitlines() if line.startswith(played.job_id)).split("\t")
    assert job[2:5] == ["1", "source_unreachable", "https://one.example"]
    assert job[5].startswith("The source stopped answering")
    assert job[6] == f"siteferry retry {played.job_id}"
    page = json.loads((await siteferry(gateway, "dead", "--json")).out)
    told = next(job for job in page["jobs"] if job["job_id"] == played.job_id)
    assert (told["error"]["code"], told["next"]) == ("source_unreachable", job[6])
    assert (await siteferry(gateway, "retry", played.job_id)).code == 0
