"""The command line about restores, against a real gateway; the restorer is simulated on the real streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from shared.bus.connection import Bus, connect
from shared.contract.events import COMMAND, RestoreRequested
from shared.contract.jobs import ErrorInfo
from tests.integration.gateway_process import Gateway, running_gateway, running_status
from tests.integration.test_cli import begin, known_jobs, siteferry
from tests.live.restores import PLAN, SimulatedRestore
from tests.live.stack import eventually

PASSWORD = "Geheim-Kolibri-4711"
STAGING, SHOP = "https://staging.example.com", "https://shop.example.com"
TARGET_LOGIN = ("-u", "admin", "--password-stdin")


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(rate_limit_per_minute=0) as running, running_status(running):
        yield running


@pytest.fixture
async def bus(gateway: Gateway) -> AsyncIterator[Bus]:
    async with connect(gateway.settings, service="test") as bus:
        yield bus


async def command_of(bus: Bus, job_id: str) -> RestoreRequested:
    message = await bus.js.get_last_msg("RESTORES", f"restore.requested.*.{job_id}")
    command = COMMAND.validate_json(message.data or b"")
    assert isinstance(command, RestoreRequested)
    return command


async def played(
    gateway: Gateway, bus: Bus, *arguments: str, error: ErrorInfo | None = None, **result: Any
) -> tuple[int, str, str]:
    """Run a command that watches, and play the job it submits; exit code, stdout, stderr."""
    known = known_jobs(gateway)
    process = await begin(gateway.url, *arguments, "--wait")
    assert process.stdin is not None
    process.stdin.write(f"{PASSWORD}\nother-{PASSWORD}\n".encode())
    process.stdin.close()

    async def asked() -> str | None:
        return next(iter(await asyncio.to_thread(known_jobs, gateway) - known), None)

    job_id = await eventually(asked, timeout=60, what="a new job")
    worker = await SimulatedRestore(bus, job_id=job_id, target_url=SHOP).adopt()
    await worker.start()
    await worker.reach("plan")
    await (worker.complete(**result) if error is None else worker.fail(error))
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = await asyncio.wait_for(asyncio.gather(process.stdout.read(), process.stderr.read()), 60)
    return await process.wait(), out.decode(), err.decode()


async def test_every_option_reaches_the_command(gateway: Gateway, bus: Bus) -> None:
    said = await siteferry(
        gateway,
        *("restore", "staging.example.com", "shop.example.com", *TARGET_LOGIN, "--source-username", "editor"),
        *("--dry-run", "--accept-loss", "--no-preserve-plugins", "--preserve-themes", "--no-preserve-users"),
        *("--preserve-table", "bookings", "--include-table", "posts", "--include-table", "postmeta"),
        *("--exclude-path", "uploads/big", "--include-path", "uploads", "--snapshot-hours", "5", "--name", "Shop"),
        stdin=f"{PASSWORD}\nother\n",
    )
    assert said.code == 0, said.err
    command = await command_of(bus, said.out.strip())
    assert (command.source_url, command.target_url, command.clone_id) == (STAGING, SHOP, None)
    assert (command.dry_run, command.accept_loss, command.snapshot_hours, command.name) == (True, True, 5, "Shop")
    options = command.options
    assert (options.preserve_plugins, options.preserve_themes, options.preserve_users) == (False, True, False)
    assert (options.preserve_tables, options.include_tables) == (["bookings"], ["posts", "postmeta"])
    assert (options.exclude_paths, options.include_paths) == (["uploads/big"], ["uploads"])


async def test_a_dry_run_shows_what_would_change_and_be_lost(gateway: Gateway, bus: Bus) -> None:
    arguments = ("restore", STAGING, SHOP, *TARGET_LOGIN, "--source-username", "editor", "--dry-run")
    code, out, err = await played(gateway, bus, *arguments, dry_run=True, snapshot_id=None)
    assert code == 0, err
    lines = out.splitlines()
    assert "TABLE\tACTION\tADD\tCHANGE\tREMOVE\tSAME\tNOTE" in lines
    assert "wp_posts\tchange\t2\t3\t1\t812\t1 in production only, lost" in lines
    assert "wp_harbour_bookings\tcreate\t40\t\t\t\t" in lines
    assert "Stay as they are: wp_users" in lines
    assert "uploads/2026\tchange\t4\t1\t\t300\t1.9 MB travel" in lines
    assert "Production would lose: 1 comment, 2 orders" in lines
    assert "  order 4711  Order of Ada  (in production only, wp_posts)" in lines
    assert "  and 1 more" in lines
    assert "Note      Production runs PHP 8.3, the clone PHP 8.2." in lines
    assert "without --dry-run, and with --accept-loss" in err
    assert PASSWORD not in out + err


async def test_losses_are_shown_when_they_stop_a_restore(gateway: Gateway, bus: Bus) -> None:
    error = ErrorInfo(
        code="production_would_lose",
        message="Production has 3 things that this restore would take away.",
        hint="Send it again with accept_loss=true.",
        details={"losses": PLAN.losses, "samples": [loss.model_dump(mode="json") for loss in PLAN.loss_samples]},
    )
    code, out, err = await played(
        gateway, bus, "restore", STAGING, SHOP, *TARGET_LOGIN, "--source-username", "editor", error=error
    )
    assert code == 1
    assert out.splitlines()[0] == "Production would lose: 1 comment, 2 orders"
    assert "Failed: Production has 3 things" in err
    assert "siteferry retry" not in err, "the same wish would end the same way"


async def test_a_restore_is_watched_listed_rolled_back_and_discarded(gateway: Gateway, bus: Bus) -> None:
    code, out, err = await played(gateway, bus, "restore", STAGING, SHOP, *TARGET_LOGIN, "--source-username", "editor")
    assert code == 0, err
    assert f"URL       {SHOP}" in out
    assert "Paused    38 ms, in which nothing could be written" in out
    snapshot = next(line.split()[1].rstrip(",") for line in out.splitlines() if line.startswith("Snapshot"))
    assert f"siteferry rollback {snapshot} --username ADMIN" in err

    async def listed() -> dict[str, Any] | None:
        found = json.loads((await siteferry(gateway, "snapshots", "--target", "shop", "--json")).out)["snapshots"]
        return next((item for item in found if item["snapshot_id"] == snapshot), None)

    assert (await eventually(listed, timeout=30, what="the snapshot in the list"))["state"] == "active"
    row = (await siteferry(gateway, "snapshots")).out.splitlines()[1].split("\t")
    assert (row[0], row[1], row[4], row[5]) == (snapshot, "active", "1.0 MB", SHOP)
    jobs = (await siteferry(gateway, "jobs")).out
    assert f"{STAGING} → {SHOP}" in jobs

    done: dict[str, Any] = {"action": "rollback", "snapshot_id": snapshot, "plan": None, "late_rows": 2}
    code, out, err = await played(gateway, bus, "rollback", snapshot, *TARGET_LOGIN, **done)
    assert code == 0, err
    assert f"Back as before {SHOP}" in out
    assert "2 rows that came meanwhile were kept" in out

    said = await siteferry(gateway, "discard", snapshot, *TARGET_LOGIN, "--json", stdin=PASSWORD + "\n")
    accepted = json.loads(said.out)
    assert (await command_of(bus, accepted["job_id"])).action == "discard"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("restore", STAGING, SHOP), "The target's administrator is missing."),
        (("restore", STAGING, SHOP, "-u", "admin"), "The target's password is missing."),
        (("restore", STAGING, SHOP, *TARGET_LOGIN), "The source's administrator is missing."),
        (("restore", "clone-0k3v9x2m7c1p5t8w", SHOP, *TARGET_LOGIN, "--source-username", "x"), "login is known"),
        (("restore", "clone-0k3v9x2m7c1p5t8w", SHOP, *TARGET_LOGIN), "There is no such clone."),
        (("rollback", "restore-0k3v9x2m7c1p5t8w", *TARGET_LOGIN), "There is no such snapshot."),
        (("rollback", "restore-0k3v9x2m7c1p5t8w", "-u", "a", "--password", "x", "--password-stdin"), "either"),
    ],
)
async def test_what_is_missing_is_said(gateway: Gateway, arguments: tuple[str, ...], words: str) -> None:
    said = await siteferry(gateway, *arguments, stdin=PASSWORD + "\n")
    assert said.code in (1, 2)
    assert words in said.err
    assert said.out == ""
