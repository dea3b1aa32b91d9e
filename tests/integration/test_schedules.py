"""Schedules on a real nats-server that fires, with two gateways, and with all of them killed."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from services.gateway.edge import Edge
from services.gateway.schedules.firing import Scheduler
from services.gateway.schedules.plan import Plan
from services.gateway.schedules.record import Run, Skipped
from services.gateway.schedules.store import Entry, Kept, NotTaken, ScheduleStore
from services.gateway.settings import GatewaySettings
from shared.contract import streams
from shared.contract.api_keys import tenant_token
from shared.contract.events import CloneRequested, Expired, JobEvent, now
from shared.contract.jobs import Job
from shared.contract.subjects import EventType, every, schedule_due, schedule_of
from shared.contract.timetable import SCHEDULER, TIMETABLE
from shared.ids import new_id
from shared.secrets.api_keys import Keys
from shared.secrets.vault import KeyRing, SecretGone, Vault
from tests.live import command
from tests.live.guarded import KEYS, Guarded, guarded
from tests.live.simulator import Simulated
from tests.live.stack import eventually

PASSWORD = "geheim-77"
WISH = {
    "source_url": "https://shop.example.com",
    "username": "admin",
    "password": PASSWORD,
    "ttl_minutes": 90,
    "name": "Every time",
    "options": {"exclude_paths": ["wp-content/backups"]},
}
EACH_SECOND = {**WISH, "cron": "* * * * * *"}
NIGHTLY = {**WISH, "cron": "30 2 * * *", "timezone": "Europe/Berlin"}
AGENCY = KEYS["agency"]
OPERATOR = "key-of-the-operator"
NIGHT = ("--cron", "30 2 * * *", "--timezone", "Europe/Berlin")
MOST = 3


@pytest.fixture(scope="module")
async def it() -> AsyncIterator[Guarded]:
    async with guarded(gateways=2, schedule_least_seconds="1", schedules_most=str(MOST)) as found:
        digest = hashlib.sha256(OPERATOR.encode()).hexdigest()
        found.key_file.write_text(found.key_file.read_text() + f"boss:{digest}:agency::operator\n")
        yield found


@pytest.fixture(autouse=True)
async def none_left(it: Guarded) -> AsyncIterator[None]:
    yield
    for tenant in KEYS:
        for schedule in (await call(it, "GET", "/schedules", key=KEYS[tenant])).json()["schedules"]:
            await call(it, "DELETE", f"/schedules/{schedule['schedule_id']}", key=KEYS[tenant])


async def call(
    it: Guarded,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str = KEYS["agency"],
    gateway: int = 0,
    **headers: str,
) -> httpx2.Response:
    told = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx2.AsyncClient(base_url=it.gateways[gateway], timeout=40, trust_env=False) as client:
        return await client.request(method, path, headers=told, json=body)


async def made(it: Guarded, wish: dict[str, Any], **options: Any) -> str:
    answer = await call(it, "POST", "/schedules", wish, **options)
    assert answer.status_code == 201, answer.text
    assert PASSWORD not in answer.text
    return str(answer.json()["schedule_id"])


async def told(it: Guarded, schedule_id: str, **options: Any) -> dict[str, Any]:
    answer = await call(it, "GET", f"/schedules/{schedule_id}", **options)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def commands(it: Guarded, schedule_id: str) -> list[CloneRequested]:
    """What the log holds of the jobs it made, oldest first."""
    pattern = every("clone", EventType.REQUESTED)
    info = await it.bus.js.stream_info(streams.STREAMS["clone"], subjects_filter=pattern)
    found = []
    for subject in info.state.subjects or {}:
        message = await it.bus.js.get_last_msg(streams.STREAMS["clone"], subject)
        found.append(CloneRequested.model_validate_json(message.data or b""))
    return sorted((one for one in found if one.schedule_id == schedule_id), key=lambda one: one.time)


def entry_of(schedule_id: str, tenant: str = "agency") -> Entry:
    return tenant_token(tenant), schedule_id


async def vault_of(it: Guarded, keys: KeyRing | None = None) -> Vault:
    return Vault(await it.bus.bucket(streams.VAULT), keys or it.vault)


@asynccontextmanager
async def scheduler(it: Guarded) -> AsyncIterator[Scheduler]:
    """What every gateway has inside, on a connection of its own; nobody feeds it but the test."""
    settings = GatewaySettings(api_keys_file=it.key_file)
    async with it.house.bus() as bus:
        edge = Edge(settings, bus, await bus.bucket(streams.VAULT), it.vault, Keys(it.key_file))
        yield Scheduler(edge)


async def since(it: Guarded, schedule_id: str, at: datetime) -> Kept:
    """The schedule, as if it had been made then."""
    store = ScheduleStore(it.bus)
    kept = await store.at(entry_of(schedule_id))
    assert kept is not None
    return await store.change(kept, kept.schedule.model_copy(update={"since": at}))


# --- what it makes


async def test_a_job_is_made_as_if_it_were_asked_for_and_none_while_it_goes(it: Guarded) -> None:
    schedule = await made(it, {**EACH_SECOND, "priority": "low"})
    await eventually(lambda: commands(it, schedule), what="a job")
    shown = await eventually(lambda: _skipped(it, schedule), what="an overlap")
    [command] = await commands(it, schedule)
    about = (command.tenant, command.lane, command.source_url, command.ttl_minutes, command.name)
    assert about == ("agency", "low", WISH["source_url"], 90, "Every time")
    assert command.options.exclude_paths == ["wp-content/backups"]
    login = {"username": "admin", "password": PASSWORD}
    assert await (await vault_of(it)).get(command.job_id) == login, "the login of its own, as any job has it"
    assert (shown["last_run"]["job_id"], shown["last_run"]["status"]) == (command.job_id, "pending")
    assert (shown["last_skip"]["code"], shown["last_skip"]["job_id"]) == ("overlap", command.job_id)
    assert shown["state"] == "active"
    assert datetime.fromisoformat(shown["next_at"]) > datetime.now(UTC) - timedelta(seconds=2)
    job = (await call(it, "GET", f"/jobs/{command.job_id}")).json()
    assert (job["schedule_id"], job["priority"]) == (schedule, "low")
    found = (await call(it, "GET", f"/jobs?q={schedule}")).json()["jobs"]
    assert [one["job_id"] for one in found] == [command.job_id]
    [record] = await eventually(lambda: _recorded(it, command.job_id), what="that it is in the audit log, with its end")
    assert (record["action"], record["tenant"], record["key"]) == ("schedule.fire", "agency", "agency")
    assert (record["objects"], record["address"]) == ([schedule, command.job_id], "")

    await call(it, "POST", f"/jobs/{command.job_id}/cancel")
    await call(it, "POST", f"/schedules/{schedule}/pause")
    await it.bus.publish(_cancelled(job))
    [listed] = (await call(it, "GET", "/schedules")).json()["schedules"]
    assert (listed["last_run"]["job_id"], listed["last_run"]["status"]) == (command.job_id, "cancelled")
    await call(it, "POST", f"/schedules/{schedule}/resume")
    await eventually(lambda: _count(it, schedule, 2), what="the next job, once that one had ended")
    assert (await call(it, "DELETE", f"/schedules/{schedule}")).status_code == 204
    before = len(await commands(it, schedule))
    await asyncio.sleep(2.2)
    assert len(await commands(it, schedule)) == before, "a deleted schedule makes no more"


async def test_a_clone_is_refreshed_until_it_is_gone(it: Guarded) -> None:
    site = WISH["source_url"]
    clone = await Simulated(it.bus, source_url=site, name="Shop", keys=it.vault, tenant="agency").submit()
    await clone.start()
    await clone.complete()
    login = {"source_url": site, "username": "admin", "password": PASSWORD}
    refresh = {**login, "clone_id": clone.job_id, "overwrite": True, "cron": "* * * * * *"}
    schedule = await made(it, refresh)
    await eventually(lambda: commands(it, schedule), what="a job")
    [command] = await commands(it, schedule)
    record = (await call(it, "GET", f"/clones/{clone.job_id}")).json()
    about = (command.action, command.clone_id, command.source_url, command.target_url, command.overwrite, command.name)
    assert about == ("refresh", clone.job_id, site, record["clone_url"], True, "Shop")
    secret = await (await vault_of(it)).get(command.job_id)
    assert {name: secret[name] for name in ("username", "password", "clone_username")} == {
        "username": "admin",
        "password": PASSWORD,
        "clone_username": record["username"],
    }
    assert secret["clone_password"]
    shown = await told(it, schedule)
    assert (shown["clone_id"], shown["overwrite"], shown["source_url"]) == (clone.job_id, True, site)
    assert (await eventually(lambda: _skipped(it, schedule), what="an overlap"))["last_skip"]["code"] == "overlap"

    await it.bus.publish(_cancelled((await call(it, "GET", f"/jobs/{command.job_id}")).json()))
    assert clone.job is not None
    await it.bus.publish(Expired(kind="clone", job_id=clone.job_id, lane=clone.lane))
    stopped = await eventually(lambda: _no_more(it, schedule), timeout=20, what="its end")
    assert (stopped["last_skip"]["code"], stopped["next_at"]) == ("clone_gone", None)
    assert "is gone" in stopped["message"]
    answer = await call(it, "POST", f"/schedules/{schedule}/resume")
    assert (answer.status_code, answer.json()["code"]) == (409, "clone_gone")


async def _recorded(it: Guarded, job_id: str) -> list[dict[str, Any]]:
    answer = await call(it, "GET", f"/audit?object={job_id}&outcome=done", key=OPERATOR)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["records"]
    return found


async def _no_more(it: Guarded, schedule_id: str) -> dict[str, Any] | None:
    found = await told(it, schedule_id)
    return found if found["state"] == "stopped" else None


def _cancelled(job: dict[str, Any]) -> JobEvent:
    record = Job(
        job_id=job["job_id"],
        type="clone",
        status="cancelled",
        tenant="agency",
        lane="low",
        created_at=job["created_at"],
        updated_at=now(),
        schedule_id=job["schedule_id"],
    )
    return JobEvent(type=EventType.CANCELLED, job_id=record.job_id, lane=record.lane, job=record)


async def _skipped(it: Guarded, schedule_id: str) -> dict[str, Any] | None:
    found = await told(it, schedule_id)
    return found if found["last_skip"] else None


async def _count(it: Guarded, schedule_id: str, least: int) -> bool:
    return len(await commands(it, schedule_id)) >= least


async def test_nothing_keeps_the_login_of_a_schedule_that_was_replaced_or_deleted(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    store = ScheduleStore(it.bus)
    first = await store.at(entry_of(schedule))
    assert first is not None
    assert PASSWORD not in first.schedule.model_dump_json()
    answer = await call(it, "PUT", f"/schedules/{schedule}", {**NIGHTLY, "password": "neu-88", "cron": "@weekly"})
    assert answer.status_code == 200, answer.text
    second = await store.at(entry_of(schedule))
    assert second is not None
    vault = await vault_of(it)
    assert vault.opened(second.schedule.sealed, purpose=schedule)["password"] == "neu-88"
    assert second.schedule.created_at == first.schedule.created_at
    assert (await store.planned())[entry_of(schedule)] == ("0 0 0 * * 0", "Europe/Berlin")
    assert (await call(it, "DELETE", f"/schedules/{schedule}")).status_code == 204
    kept = await it.bus.js.stream_info(f"KV_{streams.SCHEDULES}", subjects_filter=f"$KV.{streams.SCHEDULES}.>")
    assert kept.state.messages <= len(await store.changed(1)), "old revisions are kept"
    assert all(found is None for _, entry, found in await store.changed(1) if entry == entry_of(schedule))
    assert entry_of(schedule) not in await store.planned()
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        gone = await call(it, method, f"/schedules/{schedule}{path}")
        assert (gone.status_code, gone.json()["code"]) == (404, "schedule_not_found")


async def test_a_login_that_can_not_be_opened_gives_a_job_all_the_same(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    kept = await since(it, schedule, now() - timedelta(days=2))
    other = await vault_of(it, KeyRing([b"x" * 32]))
    lost = kept.schedule.model_copy(update={"sealed": other.sealed({"username": "a"}, purpose=schedule)})
    await ScheduleStore(it.bus).change(kept, lost)
    async with scheduler(it) as one:
        await one.fire(entry_of(schedule), now())
    [command] = await commands(it, schedule)
    with pytest.raises(SecretGone, match="expired"):  # what a worker fails the job with
        await (await vault_of(it)).get(command.job_id)


# --- once


async def test_ten_deliveries_in_two_gateways_make_one_job(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    await since(it, schedule, now() - timedelta(days=2))
    at = now()
    async with scheduler(it) as one, scheduler(it) as other:
        await asyncio.gather(*(each.fire(entry_of(schedule), at) for each in [one, other] * 5))
        await one.fire(entry_of(schedule), at + timedelta(seconds=1))
    [command] = await commands(it, schedule)
    records = await call(it, "GET", f"/audit?object={command.job_id}&action=schedule.fire", key=OPERATOR)
    assert len(records.json()["records"]) == 1
    stored = await it.bus.js.stream_info(streams.STREAMS["clone"], subjects_filter=f"clone.*.*.{command.job_id}")
    assert sum((stored.state.subjects or {}).values()) == 1
    shown = await told(it, schedule)
    due = Plan.read(NIGHTLY["cron"], NIGHTLY["timezone"]).latest(at)
    assert shown["last_run"]["job_id"] == command.job_id
    assert datetime.fromisoformat(shown["last_run"]["due_at"]) == due
    assert shown["skips"] == 0


@pytest.mark.parametrize("stored", [False, True])
async def test_who_dies_between_the_claim_and_its_end_is_followed_by_one_who_ends_it(it: Guarded, stored: bool) -> None:
    """Dead right after the claim, and dead right after the job was stored."""
    schedule = await made(it, NIGHTLY)
    kept = await since(it, schedule, now() - timedelta(days=2))
    run = Run(due_at=kept.schedule.plan.latest(now()), job_id=new_id("clone"))
    await ScheduleStore(it.bus).change(kept, kept.schedule.model_copy(update={"run": run}))
    async with scheduler(it) as one, scheduler(it) as other:
        if stored:
            await one.fire(entry_of(schedule), now())
            kept = await since(it, schedule, now() - timedelta(days=2))
            await ScheduleStore(it.bus).change(kept, kept.schedule.model_copy(update={"run": run}))
        await other.fire(entry_of(schedule), now())
    [command] = await commands(it, schedule)
    assert command.job_id == run.job_id
    kept_now = await ScheduleStore(it.bus).at(entry_of(schedule))
    assert kept_now is not None
    assert not kept_now.schedule.unfinished


async def test_gateways_killed_when_it_fires_lose_nothing_and_make_up_for_one(it: Guarded) -> None:
    schedule = await made(it, EACH_SECOND)
    await eventually(lambda: commands(it, schedule), what="a job")
    await it.kill_gateways()
    before = await commands(it, schedule)
    [last] = before
    job = {"job_id": last.job_id, "created_at": last.time, "schedule_id": schedule}
    await it.bus.publish(_cancelled(job))
    await asyncio.sleep(3.1)  # three times nobody is there
    waiting = await it.bus.js.stream_info(TIMETABLE, subjects_filter=schedule_due("*", schedule))
    assert sum((waiting.state.subjects or {}).values()) == 1, "the last time is kept, whatever came before"
    await it.start_gateways()
    await eventually(lambda: _count(it, schedule, 2), timeout=20, what="the job that was missed")
    await eventually(lambda: _skipped(it, schedule), what="the next times, at which it still goes")
    assert len(await commands(it, schedule)) == 2


async def test_what_was_missed_while_nats_was_away_is_made_up_for_once(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    await since(it, schedule, now() - timedelta(days=4))
    await it.bus.js.purge_stream(TIMETABLE)  # what a lost store leaves
    async with scheduler(it) as one:
        await one.look(now())
        planned = await ScheduleStore(it.bus).planned()
        assert planned[entry_of(schedule)] == ("0 30 2 * * *", "Europe/Berlin"), "it fires again"
        await eventually(lambda: _count(it, schedule, 1), what="the job that was missed")
        await one.look(now())
    await asyncio.sleep(0.5)
    assert len(await commands(it, schedule)) == 1


async def test_it_goes_on_when_nats_was_killed(it: Guarded) -> None:
    schedule = await made(it, EACH_SECOND)
    await eventually(lambda: commands(it, schedule), what="a job")
    it.house.kill()
    await asyncio.sleep(1.5)
    it.house.start()
    back = now()
    await eventually(lambda: _due_since(it, schedule, back), timeout=30, what="a time after that")
    assert len(await commands(it, schedule)) == 1


async def _due_since(it: Guarded, schedule_id: str, at: datetime) -> bool:
    answer = await call(it, "GET", f"/schedules/{schedule_id}")
    skip = answer.json().get("last_skip") if answer.status_code == 200 else None
    return skip is not None and datetime.fromisoformat(skip["due_at"]) > at


async def test_what_fires_for_nothing_is_taken_away(it: Guarded) -> None:
    store = ScheduleStore(it.bus)
    gone = entry_of("schedule-0000000000000000")
    headers = {"Nats-Schedule": "* * * * * *", "Nats-Schedule-Target": schedule_due(*gone)}
    await it.bus.js.publish(schedule_of(*gone), b"", headers=headers)
    await eventually(lambda: _unplanned(store, gone), what="its end")


async def _unplanned(store: ScheduleStore, entry: Entry) -> bool:
    return entry not in await store.planned()


async def test_an_installation_of_before_gets_the_stream_in_place(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    await it.bus.js.delete_stream(TIMETABLE)
    await streams.install(it.bus.js)
    assert (await it.bus.js.consumer_info(TIMETABLE, SCHEDULER)).config.max_deliver == -1
    async with scheduler(it) as one:
        await one.look(now())
    assert entry_of(schedule) in await ScheduleStore(it.bus).planned()


async def test_nats_takes_every_form_that_is_understood(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    store = ScheduleStore(it.bus)
    kept = await store.at(entry_of(schedule))
    assert kept is not None
    forms = ["5/20 8-17 * jan-mar mon-fri", "0 0 ? * *", "07 3 1,15 2/3 *", "1-59/2 * * * 0,6", "*/45 */59 * * * *"]
    for form in [
        *forms,
        "@hourly",
        "@daily",
        "@weekly",
        "@monthly",
        "@yearly",
        "0 0 29 2 *",
        "0 0 13 * 5",
        "0 0 * * */2",
    ]:
        plan = Plan.read(form, "America/Argentina/Buenos_Aires")
        await store.plan(kept.schedule.model_copy(update={"pattern": plan.pattern, "timezone": plan.timezone}))
    with pytest.raises(NotTaken, match="timezone"):
        await store.plan(kept.schedule.model_copy(update={"timezone": "Mars/X"}))
    with pytest.raises(NotTaken, match="cron"):
        await store.plan(kept.schedule.model_copy(update={"pattern": "0 0 0 L * *"}))


# --- who may, and how much


async def test_what_is_wrong_is_said(it: Guarded) -> None:
    for wrong, words in (
        ({"cron": "61 * * * *"}, "cron can not be read (bad minute)"),
        ({"cron": "@every 1h"}, "cron can not begin with @every"),
        ({"timezone": "Mars/X"}, "timezone “Mars/X” is no time zone; write it like Europe/Berlin"),
        ({"pairing_key": "sf1_x"}, "not both"),
        ({"overwrite": True}, "send the clone_id"),
        ({"clone_id": "clone-0k3v9x2m7c1p5t8w"}, "a refresh keeps the clone's name: leave it out"),
    ):
        answer = await call(it, "POST", "/schedules", {**NIGHTLY, **wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), answer.text
        assert words in answer.json()["detail"]
        assert PASSWORD not in answer.text
    nobodys = {key: value for key, value in NIGHTLY.items() if key not in {"name", "ttl_minutes", "options"}}
    answer = await call(it, "POST", "/schedules", {**nobodys, "clone_id": "clone-0k3v9x2m7c1p5t8w"})
    assert (answer.status_code, answer.json()["code"]) == (404, "clone_not_found")
    mine = await Simulated(it.bus, tenant="agency", keys=it.vault).submit()
    await mine.start()
    await mine.complete()
    answer = await call(it, "POST", "/schedules", {**nobodys, "clone_id": mine.job_id})
    assert (answer.status_code, "was made of https://harbour-cafe" in answer.json()["detail"]) == (422, True)
    assert (await call(it, "GET", "/schedules")).json() == {"schedules": []}
    too_many_names = {**NIGHTLY, "cron": "x" * 300}
    assert (await call(it, "POST", "/schedules", too_many_names)).status_code == 422


async def test_others_see_nothing_of_it(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    other = KEYS["other"]
    assert (await call(it, "GET", "/schedules", key=other)).json() == {"schedules": []}
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", NIGHTLY),
        ("DELETE", "", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
    ):
        answer = await call(it, method, f"/schedules/{schedule}{path}", body, key=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "schedule_not_found")
    assert (await told(it, schedule, gateway=1))["state"] == "active"


async def test_a_tenant_has_so_many_and_asking_again_makes_no_second(it: Guarded) -> None:
    again = [await call(it, "POST", "/schedules", NIGHTLY, Idempotency_Key="once", gateway=turn) for turn in (0, 1)]
    assert again[0].json() == again[1].json()
    answers = await asyncio.gather(*(call(it, "POST", "/schedules", NIGHTLY, gateway=turn % 2) for turn in range(8)))
    refused = [answer for answer in answers if answer.status_code == 409]
    assert all(answer.json()["code"] == "too_many_schedules" for answer in refused)
    found = (await call(it, "GET", "/schedules")).json()["schedules"]
    assert len(found) == 1 + len(answers) - len(refused)
    assert len(found) <= MOST
    await made(it, NIGHTLY, key=KEYS["other"])


async def test_it_is_paused_and_resumed(it: Guarded) -> None:
    schedule = await made(it, EACH_SECOND)
    paused = (await call(it, "POST", f"/schedules/{schedule}/pause")).json()
    while "code" in paused:  # a job was made in this moment
        paused = (await call(it, "POST", f"/schedules/{schedule}/pause")).json()
    assert (paused["state"], paused["next_at"]) == ("paused", None)
    before = len(await commands(it, schedule))
    await asyncio.sleep(1.5)
    assert len(await commands(it, schedule)) == before
    resumed = (await call(it, "POST", f"/schedules/{schedule}/resume")).json()
    assert resumed["state"] == "active"
    await eventually(lambda: _acts(it, schedule, before), what="its next time")


async def _acts(it: Guarded, schedule_id: str, before: int) -> bool:
    found = await told(it, schedule_id)
    return bool(found["skips"]) or len(await commands(it, schedule_id)) > before


async def test_a_revoked_key_stops_its_schedules_and_another_one_resumes_them(it: Guarded) -> None:
    keys = []
    for _ in range(2):
        answer = await call(it, "POST", "/keys", {"name": "test", "tenant": "green"}, key=OPERATOR)
        assert answer.status_code == 201, answer.text
        keys.append(answer.json())
    first, second = keys
    schedule = await made(it, NIGHTLY, key=first["secret"])
    rotated = await call(it, "POST", f"/keys/{first['id']}/rotate", key=OPERATOR)
    assert rotated.status_code == 200, rotated.text
    assert (await told(it, schedule, key=second["secret"]))["state"] == "active", "a rotated key is the same key"
    assert (await call(it, "DELETE", f"/keys/{first['id']}", key=OPERATOR)).status_code == 204
    stopped = await eventually(lambda: _stopped(it, schedule, second["secret"]), what="its stop")
    assert (stopped["next_at"], "another key" in stopped["message"]) == (None, True)

    kept = await ScheduleStore(it.bus).at(entry_of(schedule, "green"))
    assert kept is not None
    back = kept.schedule.model_copy(update={"since": now() - timedelta(days=2)})
    await ScheduleStore(it.bus).change(kept, back)
    await ScheduleStore(it.bus).fire(entry_of(schedule, "green"))
    skipped = await eventually(lambda: _skipped_as(it, schedule, second["secret"]), what="a time without a job")
    assert skipped["last_skip"]["code"] == Skipped.KEY_ENDED
    assert not await commands(it, schedule)
    assert entry_of(schedule, "green") not in await ScheduleStore(it.bus).planned()

    resumed = await call(it, "POST", f"/schedules/{schedule}/resume", key=second["secret"])
    assert (resumed.status_code, resumed.json()["state"]) == (200, "active")
    assert entry_of(schedule, "green") in await ScheduleStore(it.bus).planned()
    assert (await call(it, "DELETE", f"/schedules/{schedule}", key=second["secret"])).status_code == 204


async def _stopped(it: Guarded, schedule_id: str, key: str) -> dict[str, Any] | None:
    found = await told(it, schedule_id, key=key)
    return found if found["state"] == "stopped" else None


async def _skipped_as(it: Guarded, schedule_id: str, key: str) -> dict[str, Any] | None:
    found = await told(it, schedule_id, key=key)
    return found if found["last_skip"] else None


async def test_the_audit_log_has_who_made_and_deleted_it(it: Guarded) -> None:
    schedule = await made(it, NIGHTLY)
    assert (await call(it, "PUT", f"/schedules/{schedule}", NIGHTLY)).status_code == 200
    assert (await call(it, "DELETE", f"/schedules/{schedule}")).status_code == 204

    async def told_all() -> list[tuple[str, str]]:
        records = (await call(it, "GET", "/audit", key=OPERATOR)).json()["records"]
        return [(one["action"], one["key"]) for one in records if schedule in one["objects"]]

    wanted = [("schedule.delete", "agency"), ("schedule.replace", "agency"), ("schedule.create", "agency")]
    await eventually(lambda: _same(told_all, wanted), what="three records")


async def _same(ask: Any, wanted: list[tuple[str, str]]) -> bool:
    return sorted(set(await ask())) == sorted(wanted)


async def test_the_command(it: Guarded) -> None:
    async def siteferry(*arguments: str) -> tuple[int, str, str]:
        return await command.siteferry(it.url, KEYS["agency"], "schedules", *arguments)

    site = ("https://shop.example.com", "-u", "admin", "--password", PASSWORD)
    code, out, err = await siteferry(
        "create", *site, "--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--ttl", "7d"
    )
    assert (code, "in " in err) == (0, True), err
    schedule = out.strip()
    found = json.loads((await siteferry("list", "--json"))[1])["schedules"]
    assert [(one["schedule_id"], one["timezone"], one["ttl_minutes"]) for one in found] == [
        (schedule, "Europe/Berlin", 7 * 1440)
    ]
    code, out, _ = await siteferry("create", *site, "--cron", "@weekly", "--replace", schedule, "--json")
    assert (code, json.loads(out)["cron"]) == (0, "@weekly")
    paused = (await siteferry("pause", schedule))[1]
    assert ("paused" in paused, "@weekly (UTC)" in paused) == (True, True)
    listed = (await siteferry("list"))[1]
    assert (schedule in listed, "paused" in listed) == (True, True)
    code, _, err = await siteferry("create", *site, "--cron", "never")
    assert (code, "cron has 1 fields" in err) == (2, True), err
    assert (await siteferry("delete", schedule))[0] == 0
    assert "No schedules yet" in (await siteferry("list"))[2]
