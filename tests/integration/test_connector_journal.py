"""Whatever dies in the middle of an exchange: after the next request the site is entirely old or entirely new."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from shared.errors import JobError
from shared.wordpress.connector.target import SwapPhase, SwapPlan
from siteferry.embedded.servers.process import ServerProcess
from tests.integration.connected import Connected, connected
from tests.integration.exchanging import Restore, left_behind
from tests.integration.house import eventually
from tests.sites.farm import SourceFarm
from tests.sites.spec import SiteSpec

ROUNDS = 8


@pytest.fixture(scope="module")
def own_farm() -> Iterator[SourceFarm]:
    """A farm whose servers this file may kill."""
    with SourceFarm() as running:
        yield running


@pytest.fixture(scope="module")
def target(own_farm: SourceFarm) -> Iterator[Connected]:
    site = own_farm.create(SiteSpec("killed"))
    with connected(site, lifetime=3600) as connection:
        yield connection


def workers(farm: SourceFarm) -> list[int]:
    """The PHP processes that answer requests."""
    (master,) = [process.pid for process in farm._running if process.server is farm.fpm]
    with open(f"/proc/{master}/task/{master}/children") as children:
        return [int(pid) for pid in children.read().split()]


def kill_php(farm: SourceFarm) -> None:
    """SIGKILL to every worker of PHP-FPM; the master starts new ones."""
    for pid in workers(farm):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def in_background(work: Callable[[], object]) -> Future[object]:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


def wait_for_query(farm: SourceFarm, begins: str) -> int:
    """The id of a connection that runs such a statement."""

    def look() -> int | None:
        with farm.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE %s", (begins + "%",))
            row = cursor.fetchone()
            return int(row[0]) if row else None

    found = eventually(look, timeout=30, what=begins)
    assert found is not None
    return found


@contextmanager
def held(restore: Restore) -> Iterator[None]:
    """Another connection reads a table in a transaction, so that RENAME has to wait for it."""
    with restore.site.connect() as holder, holder.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute(f"SELECT COUNT(*) FROM {restore.site.prefix}postmeta")
        yield
        holder.rollback()


def visited(restore: Restore) -> str:
    """What the site is after a visitor came; it must answer him."""

    def visit() -> bool:
        return restore.site.get("/").status_code == 200 and restore.journal_is_closed()

    eventually(visit, timeout=60, what="the journal's end")
    return restore.side()


def test_php_killed_at_any_moment_of_the_exchange(own_farm: SourceFarm, target: Connected) -> None:
    """Eight rounds; in each PHP dies at another moment of the swap, then at another of the way back."""
    chance, replayed = random.Random(5), 0
    restore = Restore(target, "killed-php", files=150)
    plan = restore.prepare()
    began = time.monotonic()
    restore.writer.swap(plan)
    length = time.monotonic() - began
    restore.writer.rollback()
    restore.writer.drop(snapshot=True)
    for number in range(ROUNDS):
        restore = Restore(target, f"killed-php-{number}", files=150)
        plan = restore.prepare()
        side = _cut_off(
            own_farm,
            lambda plan=plan, restore=restore: restore.target.client.call(
                "swap", {"restore": restore.id, **plan.params()}, tries=1
            ),
            length * chance.uniform(0.05, 1.1),
            restore,
        )
        assert side in ("old", "new"), f"round {number}: {side}"
        assert restore.writer.state().state is (SwapPhase.STAGED if side == "old" else SwapPhase.SWAPPED)
        restore.writer.swap(plan)
        assert restore.side() == "new"
        side = _cut_off(
            own_farm,
            lambda restore=restore: restore.target.client.call("swap.rollback", {"restore": restore.id}, tries=1),
            length * chance.uniform(0.02, 0.8),
            restore,
        )
        assert side in ("old", "new"), f"round {number}, back: {side}"
        restore.writer.rollback()
        assert restore.side() == "old"
        replayed += restore.writer.state().replayed
        restore.writer.drop(snapshot=True)
    assert left_behind(restore) == []
    assert replayed, "PHP was never killed in the middle"


def _cut_off(farm: SourceFarm, work: Callable[[], object], after: float, restore: Restore) -> str:
    killer = threading.Timer(after, kill_php, (farm,))
    killer.start()
    with suppress(JobError):
        work()
    killer.join()
    return visited(restore)


def test_a_rename_that_waits_dies_with_its_php(own_farm: SourceFarm, target: Connected) -> None:
    """The server does not notice that PHP is gone, and would rename later: under files that are old again."""
    restore = Restore(target, "waits", files=20)
    plan = restore.prepare()
    with held(restore):
        swap = in_background(lambda: target.client.call("swap", {"restore": restore.id, **plan.params()}, tries=1))
        wait_for_query(own_farm, "RENAME TABLE")
        kill_php(own_farm)
        assert swap.exception(timeout=30) is not None
        assert visited(restore) == "old"
    assert visited(restore) == "old"
    assert restore.writer.state().replayed
    _there_and_back(restore, plan)


def test_a_frozen_database_and_a_killed_php(own_farm: SourceFarm, target: Connected) -> None:
    restore = Restore(target, "frozen", files=20)
    plan = restore.prepare()
    (database,) = [process.pid for process in own_farm._running if process.server is own_farm.database]
    with held(restore):
        swap = in_background(lambda: target.client.call("swap", {"restore": restore.id, **plan.params()}, tries=1))
        wait_for_query(own_farm, "RENAME TABLE")
        os.kill(database, signal.SIGSTOP)
        try:
            kill_php(own_farm)
            assert swap.exception(timeout=30) is not None
        finally:
            os.kill(database, signal.SIGCONT)
    assert visited(restore) in ("old", "new")
    restore.writer.rollback()
    assert restore.side() == "old"
    restore.writer.drop(snapshot=True)


def restart_database(farm: SourceFarm) -> None:
    (process,) = [process for process in farm._running if process.server is farm.database]
    place = farm._running.index(process)
    process.kill()
    farm._running[place] = ServerProcess(farm.database)
    farm._running[place].wait_ready()


def test_the_database_killed_while_it_renames(own_farm: SourceFarm, target: Connected) -> None:
    """Once while the RENAME waits, then at random moments around it."""
    restore = Restore(target, "dead-database", files=20)
    plan = restore.prepare()
    call = lambda: target.client.call("swap", {"restore": restore.id, **plan.params()}, tries=1)  # noqa: E731
    with suppress(Exception), held(restore):
        swap = in_background(call)
        wait_for_query(own_farm, "RENAME TABLE")
        restart_database(own_farm)
    with suppress(JobError):
        swap.result(timeout=60)
    assert visited(restore) == "old"
    chance = random.Random(9)
    for _ in range(3):
        swap = in_background(call)
        time.sleep(chance.uniform(0.05, 0.4))
        restart_database(own_farm)
        with suppress(JobError):
            swap.result(timeout=60)
        side = visited(restore)
        assert side in ("old", "new")
        restore.writer.rollback()
        assert restore.side() == "old"
        if restore.writer.state().state is SwapPhase.ROLLED_BACK:
            break
    restore.writer.drop(snapshot=True)


def test_half_a_rename_is_finished(own_farm: SourceFarm, target: Connected) -> None:
    """Old servers rename tables one by one; what a crash in between leaves is brought to its end."""
    restore = Restore(target, "half", files=20)
    plan = restore.prepare()
    with held(restore):
        swap = in_background(lambda: target.client.call("swap", {"restore": restore.id, **plan.params()}, tries=1))
        wait_for_query(own_farm, "RENAME TABLE")
        kill_php(own_farm)
        assert swap.exception(timeout=30) is not None
        rename = wait_for_query(own_farm, "RENAME TABLE")
        restore.site.sql(f"KILL {rename}")
        gone = f"SELECT ID FROM information_schema.PROCESSLIST WHERE ID = {rename}"
        eventually(lambda: not restore.site.sql(gone), what="the end of the RENAME")
    prefix, staged = restore.site.prefix, restore.writer.staged_name(0)
    old = staged.replace("sfn_", "sfo_")
    restore.site.sql(f"RENAME TABLE {prefix}posts TO {old}")  # and not yet the staged one to its place
    assert restore.writer.state().state is SwapPhase.SWAPPED
    assert restore.side() == "new"
    restore.writer.rollback()
    assert restore.side() == "old"
    restore.writer.drop(snapshot=True)


def _there_and_back(restore: Restore, plan: SwapPlan) -> None:
    restore.writer.swap(plan)
    assert restore.side() == "new"
    restore.writer.rollback()
    assert restore.side() == "old"
    restore.writer.drop(snapshot=True)
    assert left_behind(restore) == []
