"""Jobs that read from one source at the same time share its connector: one installs, one removes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.bus import connector_registry
from shared.bus.connector_registry import Connectors, Seat
from shared.contract import streams
from shared.secrets.vault import KeyRing
from tests.live.stack import nats_house

SOURCE = "http://shop.example"


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Connectors]:
    with nats_house() as house:
        async with house.bus() as bus:
            ring = KeyRing.load(tmp_path / "key")
            yield Connectors(await bus.bucket(streams.CONNECTORS), ring, lifetime=12 * 3600)


async def test_one_installs_all_share_the_last_removes(shared: Connectors) -> None:
    installs = 0

    async def job(name: str) -> Seat:
        nonlocal installs
        seat = await shared.join(SOURCE, name)
        if seat.must_install:
            installs += 1
            await asyncio.sleep(0.2)
            await shared.installed(SOURCE, name)
        return seat

    names = [f"job-{number}" for number in range(12)]
    seats = await asyncio.gather(*map(job, names))
    assert installs == 1
    assert len({seat.key for seat in seats}) == 1
    leaving = [await shared.leave(SOURCE, name) for name in names]
    assert leaving == [False] * 11 + [True]
    await shared.forget(SOURCE, names[-1])
    again = await shared.join(SOURCE, "later")
    assert again.must_install
    assert again.key not in {seat.key for seat in seats}


async def test_who_comes_while_one_removes_waits_and_installs_anew(shared: Connectors) -> None:
    await shared.join(SOURCE, "first")
    await shared.installed(SOURCE, "first")
    assert await shared.leave(SOURCE, "first")
    coming = asyncio.create_task(shared.join(SOURCE, "second"))
    await asyncio.sleep(0.5)
    assert not coming.done(), "the connector is being removed"
    await shared.forget(SOURCE, "first")
    assert (await asyncio.wait_for(coming, 5)).must_install


async def test_a_job_that_dies_while_installing_is_followed_by_another(
    shared: Connectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await shared.join(SOURCE, "dies")).must_install
    monkeypatch.setattr(connector_registry, "BUSY_SECONDS", 0.5)
    assert (await asyncio.wait_for(shared.join(SOURCE, "heir"), 5)).must_install
    await shared.installed(SOURCE, "heir")
    assert not (await shared.join(SOURCE, "dies")).must_install, "it came back as a redelivery"


@pytest.mark.parametrize(
    "entry", [b"null", b"{", b'{"jobs": 7}', b'{"sealed_key": {"later": 1}, "expires_at": "soon"}']
)
async def test_an_entry_that_can_not_be_read_locks_no_site_out(shared: Connectors, entry: bytes) -> None:
    await shared._bucket.put(connector_registry._name(SOURCE), entry)
    seat = await asyncio.wait_for(shared.join(SOURCE, "one"), 5)
    assert seat.must_install
    await shared.installed(SOURCE, "one")
    assert (await shared.join(SOURCE, "two")).key == seat.key


async def test_joining_and_leaving_twice_is_joining_and_leaving_once(shared: Connectors) -> None:
    assert not await shared.leave(SOURCE, "never-joined")
    first = await shared.join(SOURCE, "one")
    assert (await shared.join(SOURCE, "one")).key == first.key
    await shared.installed(SOURCE, "one")
    await shared.join(SOURCE, "two")
    assert not await shared.leave(SOURCE, "one")
    assert not await shared.leave(SOURCE, "one")
    assert await shared.leave(SOURCE, "two")
    assert await shared.leave(SOURCE, "two"), "its removal was cut short: it must be done again"
    await shared.forget(SOURCE, "two")
    assert not await shared.leave(SOURCE, "two")


async def test_a_failed_installation_does_not_block_the_others(shared: Connectors) -> None:
    assert (await shared.join(SOURCE, "fails")).must_install
    waiting = asyncio.create_task(shared.join(SOURCE, "waits"))
    await asyncio.sleep(0.5)
    await shared.leave(SOURCE, "fails")
    await shared.forget(SOURCE, "fails")
    assert (await asyncio.wait_for(waiting, 5)).must_install


async def test_a_connector_that_vanished_is_installed_once_more(shared: Connectors) -> None:
    await shared.join(SOURCE, "one")
    await shared.installed(SOURCE, "one")
    seat = await shared.join(SOURCE, "two")
    assert not seat.must_install
    repaired = await shared.join(SOURCE, "two", broken=True)
    assert repaired.must_install
    assert repaired.key == seat.key


async def test_an_installation_is_known_to_have_begun_until_it_ends(shared: Connectors) -> None:
    await shared.join(SOURCE, "dies")
    name = connector_registry._name(SOURCE)

    async def begun() -> bool:
        found = await shared.look(name)
        assert found is not None
        return found[0].begun

    assert await begun(), "nothing is on the site yet"
    assert await shared.leave(SOURCE, "dies")
    await shared.forget(SOURCE, "dies", gone=False)
    assert await begun(), "what it left could not be removed"
    assert (await shared.join(SOURCE, "next")).must_install
    await shared.installed(SOURCE, "next")
    assert not await begun()
