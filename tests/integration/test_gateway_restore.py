"""POST /restore and the snapshots it leaves: who may, with which login, and how a way back is used."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.bus.connection import Bus, connect
from shared.contract import streams
from shared.contract.events import COMMAND, Expire, RestoreRequested
from shared.contract.jobs import ErrorInfo, RestoreAction
from shared.contract.subjects import Lane
from shared.ids import is_job_id
from shared.secrets.vault import KeyRing, Vault
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.live.restores import SimulatedRestore
from tests.live.simulator import Simulated
from tests.live.stack import eventually

PASSWORD = "s3cret-Kolibri-9271"
TARGET = {"target_url": "https://shop.example.com", "target_username": "admin", "target_password": PASSWORD}
SITE = {"source_url": "https://staging.example.com", "source_username": "editor", "source_password": "other-secret"}
LOGIN = {"target_username": "admin", "target_password": PASSWORD}
OWN, OTHER = {"Authorization": "Bearer sk-own"}, {"Authorization": "Bearer sk-other"}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running:
        yield running


@pytest.fixture
def api(gateway: Gateway) -> Iterator[httpx2.Client]:
    with gateway.client() as client:
        yield client


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


async def stored(gateway: Gateway, bus: Bus, job_id: str) -> tuple[RestoreRequested, dict[str, Any]]:
    """What a worker finds: the command and its secret."""
    message = await bus.js.get_last_msg("RESTORES", f"restore.requested.*.{job_id}")
    command = COMMAND.validate_json(message.data or b"")
    assert isinstance(command, RestoreRequested)
    vault = Vault(await bus.bucket(streams.VAULT), KeyRing.load(gateway.directory / "vault.key"))
    return command, await vault.get(command.secret_ref)


async def ready_clone(gateway: Gateway, bus: Bus) -> Simulated:
    return await Simulated(bus, keys=KeyRing.load(gateway.directory / "vault.key")).play()


async def test_restore_is_answered_like_a_clone_and_stored_whole(
    gateway: Gateway, api: httpx2.Client, bus: Bus
) -> None:
    wish = TARGET | SITE | {"dry_run": True, "preserve_themes": True, "snapshot_hours": 5, "priority": "low"}
    options = {"preserve_plugins": False, "include_tables": ["posts"]}
    answer = api.post("/restore", json=wish | {"name": "Shop", "options": options})
    job_id = answer.json()["job_id"]
    assert answer.status_code == 202, answer.text
    assert is_job_id(job_id)
    assert job_id.startswith("restore-")
    assert answer.headers["location"] == f"/jobs/{job_id}"
    command, secret = await stored(gateway, bus, job_id)
    assert secret == {
        "target_username": "admin",
        "target_password": PASSWORD,
        "source_username": "editor",
        "source_password": "other-secret",
    }
    assert (command.action, command.lane, command.dry_run, command.accept_loss) == ("restore", Lane.LOW, True, False)
    assert (command.snapshot_hours, command.name, command.clone_id) == (5, "Shop", None)
    assert (command.options.preserve_plugins, command.options.preserve_themes) == (False, True)
    assert command.options.include_tables == ["posts"]
    job = api.get(f"/jobs/{job_id}").json()  # which no projector has seen
    assert (job["type"], job["action"], job["status"]) == ("restore", "restore", "pending")
    assert (job["source_url"], job["target_url"]) == ("https://staging.example.com", "https://shop.example.com")
    files = [path for path in gateway.directory.rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


async def test_clone_brings_its_address_and_its_own_login(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    clone = await ready_clone(gateway, bus)
    answer = api.post("/restore", json=TARGET | {"clone_id": clone.job_id})
    assert answer.status_code == 202, answer.text
    command, secret = await stored(gateway, bus, answer.json()["job_id"])
    assert command.clone_id == clone.job_id
    assert command.source_url == f"http://{clone.job_id}.localhost:8080"
    assert secret["source_username"] == "siteferry"
    assert secret["source_password"] == "correct-horse-7"
    itself = {"clone_id": clone.job_id, "target_url": f"http://{clone.job_id}.localhost:8080/wp-admin/"}
    refused = api.post("/restore", json=TARGET | itself)
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    await bus.publish(Expire(job_id=clone.job_id, reason="deleted"))
    gone = api.post("/restore", json=TARGET | {"clone_id": clone.job_id})
    assert (gone.status_code, gone.json()["code"]) == (409, "clone_gone")


async def test_clone_whose_password_can_not_be_opened_is_refused(api: httpx2.Client, bus: Bus) -> None:
    clone = await Simulated(bus, keys=KeyRing([b"x" * 32])).play()
    answer = api.post("/restore", json=TARGET | {"clone_id": clone.job_id})
    assert (answer.status_code, answer.json()["code"]) == (409, "secret_gone")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (TARGET, "either clone_id or source_url"),
        (TARGET | SITE | {"clone_id": "clone-0k3v9x2m7c1p5t8w"}, "either clone_id or source_url"),
        (TARGET | {"clone_id": "clone-0k3v9x2m7c1p5t8w", "source_username": "x"}, "a clone's login is known"),
        (TARGET | {"source_url": "https://a.example.com"}, "needs source_username and source_password"),
        (TARGET | SITE | {"source_url": "http://SHOP.example.com:80/wp-admin/"}, "the same site"),
        (SITE | LOGIN, "target_url is required"),
        (TARGET | SITE | {"mode": "merge"}, "mode"),
        (TARGET | SITE | {"snapshot_hours": 161}, "snapshot_hours"),
        (TARGET | SITE | {"options": {"preserve_everything": True}}, "options.preserve_everything is not a field"),
    ],
)
def test_refusals_say_what_is_wrong(api: httpx2.Client, wish: dict[str, Any], message: str) -> None:
    answer = api.post("/restore", json=wish)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
    assert PASSWORD not in answer.text
    assert "other-secret" not in answer.text


def test_same_key_makes_one_job_and_an_unknown_clone_frees_the_key(api: httpx2.Client) -> None:
    key = {"Idempotency-Key": "restore-4711"}
    unknown = api.post("/restore", json=TARGET | {"clone_id": "clone-0k3v9x2m7c1p5t8w"}, headers=key)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "clone_not_found")
    first = api.post("/restore", json=TARGET | SITE, headers=key)
    second = api.post("/restore", json=TARGET | SITE, headers=key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.text == first.text
    assert second.headers["idempotency-replayed"] == "true"


async def test_a_finished_restore_tells_its_plan_and_leaves_a_snapshot(api: httpx2.Client, bus: Bus) -> None:
    played = await SimulatedRestore(bus).play()
    job = api.get(f"/jobs/{played.job_id}").json()
    assert job["status"] == "completed"
    result = job["result"]
    assert (result["target_url"], result["snapshot_id"]) == (played.target_url, played.job_id)
    assert (result["snapshot_state"], result["write_unavailable_ms"]) == ("active", 38.5)
    assert result["plan"]["losses"] == {"comment": 1, "order": 2}
    assert result["plan"]["tables"][0] | {"table": "wp_posts", "add": 2} == result["plan"]["tables"][0]
    assert result["plan"]["loss_samples"][0]["title"] == "Order of Ada"
    snapshot = api.get(f"/snapshots/{played.job_id}").json()
    assert (snapshot["state"], snapshot["tables"], snapshot["bytes"]) == ("active", 9, 1_048_576)
    assert snapshot["links"]["rollback"] == f"/snapshots/{played.job_id}/rollback"
    assert api.post(f"/jobs/{played.job_id}/cancel").json()["hint"] == "Roll back to its snapshot."


async def test_a_dry_run_leaves_no_snapshot(api: httpx2.Client, bus: Bus) -> None:
    played = SimulatedRestore(bus)
    await played.submit(dry_run=True)
    await played.start()
    await played.complete(dry_run=True, snapshot_id=None)
    assert api.get(f"/jobs/{played.job_id}").json()["result"]["snapshot_state"] is None
    answer = api.get(f"/snapshots/{played.job_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "snapshot_not_found")
    assert api.get("/snapshots/nonsense").status_code == 404


async def test_roll_back_and_discard_are_jobs_of_their_own(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    restore = await SimulatedRestore(bus).play()
    here = f"/snapshots/{restore.job_id}"
    answer = api.post(f"{here}/rollback", json=LOGIN)
    assert answer.status_code == 202, answer.text
    command, secret = await stored(gateway, bus, answer.json()["job_id"])
    assert (command.action, command.snapshot_id) == (RestoreAction.ROLLBACK, restore.job_id)
    assert (command.target_url, command.lane, secret) == (restore.target_url, Lane.HIGH, LOGIN)
    rollback = await SimulatedRestore(bus, job_id=command.job_id).adopt()
    await rollback.start()
    await restore.rolled_back()
    await rollback.complete(action="rollback", snapshot_id=restore.job_id, snapshot_expires_at=None, plan=None)
    assert api.get(f"/jobs/{restore.job_id}").json()["result"]["snapshot_state"] == "rolled_back"
    assert api.get(f"/jobs/{rollback.job_id}").json()["result"]["action"] == "rollback"
    assert api.get(f"/snapshots/{rollback.job_id}").status_code == 404, "a roll-back makes no snapshot"
    again = api.post(f"{here}/rollback", json=LOGIN)
    assert (again.status_code, again.json()["code"]) == (409, "already_rolled_back")
    discard = api.post(f"{here}/discard", json=LOGIN | {"priority": "low"})
    command, _ = await stored(gateway, bus, discard.json()["job_id"])
    assert (command.action, command.lane) == (RestoreAction.DISCARD, Lane.LOW)
    await restore.discarded()
    for path in (f"{here}/rollback", f"{here}/discard"):
        gone = api.post(path, json=LOGIN)
        assert (gone.status_code, gone.json()["code"]) == (410, "snapshot_gone")
    assert api.post(f"{here}/rollback", json={"target_username": "admin"}).status_code == 422


async def test_restores_are_cancelled_and_tried_again_like_clones(api: httpx2.Client, bus: Bus) -> None:
    job_id = api.post("/restore", json=TARGET | SITE).json()["job_id"]
    failing = await SimulatedRestore(bus, job_id=job_id).adopt()
    await failing.start()
    await failing.fail(ErrorInfo(code="production_would_lose", message="Production has 2 orders that would go."))
    again = api.post(f"/jobs/{job_id}/retry")
    assert (again.status_code, again.json()["status"]) == (202, "pending")
    cancelled = api.post(f"/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["phase"]) == (202, "cancelling")
    info = await bus.js.stream_info("RESTORES", subjects_filter=f"restore.*.*.{job_id}")
    assert {f"restore.retry.normal.{job_id}", f"restore.cancel.normal.{job_id}"} <= set(info.state.subjects or {})
    story = api.get(f"/jobs/{job_id}/story").json()
    assert story["stream"] == "RESTORES"
    assert "secret_ref" not in str(story)


async def test_lists_once_projected(gateway: Gateway, api: httpx2.Client, bus: Bus) -> None:
    with running_status(gateway):
        old = await SimulatedRestore(bus, target_url="https://listed.example.com").play()
        await old.rolled_back()
        new = await SimulatedRestore(bus, target_url="https://listed.example.com").play()

        def listed(**query: str) -> list[str]:
            found = api.get("/snapshots", params={"target": "LISTED", **query}).json()["snapshots"]
            return [item["snapshot_id"] for item in found]

        async def projected() -> bool:
            return listed() == [new.job_id]

        await eventually(projected, what="the snapshot in the list")
        assert listed(state="rolled_back") == [old.job_id]
        page = api.get("/snapshots?target=listed&state=active&state=rolled_back&limit=1").json()
        rest = api.get(f"/snapshots?target=listed&state=rolled_back&cursor={page['next_cursor']}").json()
        assert [item["snapshot_id"] for item in rest["snapshots"]] == [old.job_id]
        jobs = api.get("/jobs", params={"type": "restore", "target": "listed.example"}).json()["jobs"]
        assert [(job["job_id"], job["action"]) for job in jobs] == [(new.job_id, "restore"), (old.job_id, "restore")]


async def test_others_clones_and_snapshots_do_not_exist(tmp_path: Path) -> None:
    digests = {name: hashlib.sha256(f"sk-{name}".encode()).hexdigest() for name in ("own", "other")}
    keys = tmp_path / "keys"
    keys.write_text(f"own:{digests['own']}:acme:low\nother:{digests['other']}\n")
    with running_gateway(api_keys_file=keys) as gateway, gateway.client() as api:
        async with connect(gateway.settings, service="test") as bus:
            ring = KeyRing.load(gateway.directory / "vault.key")
            clone = await Simulated(bus, keys=ring, tenant="acme").play()
            restore = await SimulatedRestore(bus, tenant="acme").play()
            here, wish = f"/snapshots/{restore.job_id}", TARGET | {"clone_id": clone.job_id}
            for answer in (
                api.post("/restore", json=wish, headers=OTHER),
                api.get(here, headers=OTHER),
                api.post(f"{here}/rollback", json=LOGIN, headers=OTHER),
                api.post(f"{here}/discard", json=LOGIN, headers=OTHER),
            ):
                assert answer.status_code == 404, answer.text
            own = api.post(f"{here}/rollback", json=LOGIN, headers=OWN)
            assert own.status_code == 202, own.text
            command, _ = await stored(gateway, bus, own.json()["job_id"])
            assert (command.lane, command.tenant) == (Lane.LOW, "acme"), "no better than the key allows"
            high = api.post(f"{here}/rollback", json=LOGIN | {"priority": "high"}, headers=OWN)
            assert (high.status_code, high.json()["code"]) == (403, "priority_not_allowed")
