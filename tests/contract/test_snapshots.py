"""Snapshots of clones on a real MariaDB: what goes in comes out, whatever a clone's files and tables are like."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.snapshots import (
    NoSuchSnapshot,
    SnapshotDamaged,
    SnapshotRefused,
    put_in_place,
    settle,
)
from services.cloner.drivers.host.snapshots import place as places
from services.cloner.drivers.host.snapshots.contents import SMALL
from services.cloner.drivers.host.states import RENEWED
from shared.ids import new_id
from tests.contract.houses import CONFIG, HostHouse

pytestmark = pytest.mark.timeout(600)
TABLES = """
CREATE TABLE wp_posts (ID BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, t LONGTEXT, d DATETIME NOT NULL
    DEFAULT '0000-00-00 00:00:00', KEY d (d)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_520_ci
INSERT INTO wp_posts (t, d) VALUES ('one\\ttwo\\\\ \\n', '2024-02-02'), (NULL, '0000-00-00'), ('𝄞 ümläut', '2024-01-01')
CREATE TABLE small (id TINYINT PRIMARY KEY) ENGINE=InnoDB ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=8
INSERT INTO small VALUES (0), (-1)
CREATE TABLE old (id INT AUTO_INCREMENT PRIMARY KEY, b LONGBLOB, l VARCHAR(9) CHARACTER SET latin1) ENGINE=MyISAM
INSERT INTO old (b, l) VALUES (x'00015C0A090D1A27FF', 'gr\u00fc\u00df')
CREATE TABLE aria (a INT, f FLOAT, n BIT(9)) ENGINE=Aria
INSERT INTO aria VALUES (1, 0.1, b'101000001'), (NULL, 1e30, NULL)
CREATE TABLE found (id INT PRIMARY KEY, x TEXT, FULLTEXT KEY x (x)) ENGINE=InnoDB
INSERT INTO found VALUES (1, 'harbour boats')
CREATE TABLE made (a INT, b INT AS (a + 1) STORED, c INT AS (a * 2) VIRTUAL, KEY c (c)) ENGINE=InnoDB
INSERT INTO made (a) VALUES (20), (NULL)
CREATE TABLE parts (id INT PRIMARY KEY) ENGINE=InnoDB PARTITION BY HASH (id) PARTITIONS 3
INSERT INTO parts VALUES (1), (2), (3)
CREATE TABLE `odd-näme` (id INT PRIMARY KEY) ENGINE=InnoDB
INSERT INTO `odd-näme` VALUES (7)
CREATE TABLE places (p POINT NOT NULL, SPATIAL KEY p (p)) ENGINE=InnoDB
INSERT INTO places VALUES (POINT(1, 2))
CREATE TABLE kinds (u UUID, i INET6, j JSON, y YEAR, e ENUM('a','b'), dc DECIMAL(30,10), db DOUBLE, ti TIME(6),
    ts TIMESTAMP(3) NULL, pic VARBINARY(20)) ENGINE=MyISAM
INSERT INTO kinds VALUES ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::1', '{"a":1}', 1999, 'b', 1.23, 1e-7,
    '10:11:12.123456', '2024-06-01 00:00:00.123', x'00FF')
CREATE TABLE child (id INT PRIMARY KEY, parent INT, CONSTRAINT tie FOREIGN KEY (parent) REFERENCES parent (id)
    ON DELETE CASCADE) ENGINE=InnoDB
CREATE TABLE parent (id INT PRIMARY KEY) ENGINE=InnoDB
INSERT INTO parent VALUES (1), (2)
INSERT INTO child VALUES (1, 1), (2, 2)
CREATE TABLE narrow (a INT PRIMARY KEY, gone INT, kept VARCHAR(10) DEFAULT 'x') ENGINE=InnoDB
INSERT INTO narrow (a) VALUES (1), (2)
ALTER TABLE narrow ADD COLUMN late INT DEFAULT 5, ALGORITHM=INSTANT
ALTER TABLE narrow DROP COLUMN gone, ALGORITHM=INSTANT
INSERT INTO narrow (a) VALUES (3)
CREATE TABLE watched (id INT PRIMARY KEY, v INT) ENGINE=InnoDB WITH SYSTEM VERSIONING
INSERT INTO watched VALUES (1, 1)
CREATE SEQUENCE numbers START WITH 10 INCREMENT BY 2
SELECT NEXTVAL(numbers)
CREATE TABLE log (what TEXT) ENGINE=InnoDB
CREATE FUNCTION plus_one (n INT) RETURNS INT DETERMINISTIC RETURN n + 1
CREATE PROCEDURE noted (IN w TEXT) BEGIN INSERT INTO log VALUES (w); END
CREATE VIEW a_view_of_view AS SELECT 1 AS x
CREATE VIEW z_view AS SELECT plus_one(id) AS n FROM parent
CREATE OR REPLACE VIEW a_view_of_view AS SELECT n FROM z_view WHERE n > 2
CREATE TRIGGER on_parent AFTER INSERT ON parent FOR EACH ROW CALL noted(CONCAT('new ', NEW.id))
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[HostDriver]:
    with HostHouse.running() as house:
        yield house.driver


@pytest.fixture
def clone(driver: HostDriver) -> Iterator[str]:
    made = new_id("clone")
    driver.ensure(made)
    driver.place(made).write_config(CONFIG)
    yield made
    driver.destroy(made)


def run(driver: HostDriver, clone: str, *statements: str, raw: bool = False) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    with closing(driver.place(clone).connect()) as connection, connection.cursor() as cursor:
        if raw:
            connection.decoders = {}  # type: ignore[attr-defined]
        cursor.execute("SET NAMES utf8mb4, sql_mode='NO_AUTO_VALUE_ON_ZERO'")
        for statement in statements:
            cursor.execute(statement)
            found = list(cursor.fetchall())
        connection.commit()
    return found


def fill(driver: HostDriver, clone: str) -> None:
    statements: list[str] = []
    for line in TABLES.strip().splitlines():
        if line.startswith(" "):
            statements[-1] += line
        else:
            statements.append(line)
    run(driver, clone, "SET foreign_key_checks=0", *statements)


def database(driver: HostDriver, clone: str) -> dict[str, Any]:
    """Definitions and rows of everything, as the clone's own user sees them."""
    found: dict[str, Any] = {}
    name = driver.place(clone).database
    for table, kind in run(driver, clone, "SHOW FULL TABLES"):
        shown = run(driver, clone, f"SHOW CREATE TABLE `{table.decode()}`")[0][1]
        found[table.decode()] = (
            shown.replace(name.encode(), b"DB"),
            []
            if kind == b"SEQUENCE"
            else sorted(run(driver, clone, f"SELECT * FROM `{table.decode()}`", raw=True), key=repr),
        )
    listed = "SELECT {0}_name FROM information_schema.{0}s WHERE {0}_schema=DATABASE() ORDER BY 1"
    return {
        **found,
        "triggers": run(driver, clone, listed.format("trigger")),
        "routines": run(driver, clone, listed.format("routine")),
    }


def tree(where: Path) -> dict[bytes, tuple[Any, ...]]:
    found: dict[bytes, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(os.fsencode(where)):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            facts = os.lstat(path)
            what: Any = None
            if stat.S_ISLNK(facts.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(facts.st_mode):
                what = Path(os.fsdecode(path)).read_bytes()
            found[os.path.relpath(path, os.fsencode(where))] = (facts.st_mode, facts.st_mtime_ns, what)
    return found


def files(driver: HostDriver, clone: str) -> Path:
    """Some files as a site might have them, owned by its account."""
    target = driver.place(clone)
    site = target.document_root
    (site / "wp-content/uploads").mkdir(parents=True, exist_ok=True)
    (site / "index.php").write_text("<?php // one")
    (site / "empty").touch()
    (site / "wp-content/big").write_bytes(os.urandom(2_500_000))
    odd = os.fsencode(site / "wp-content") + b"/na\xefve\n\xff.css"
    with open(odd, "wb") as made:
        made.write(b"a {}")
    os.chmod(odd, 0o440)
    (site / "inside").symlink_to("wp-content")
    (site / "outside").symlink_to("/etc")
    os.utime(site / "index.php", ns=(10**18 + 7, 10**18 + 7))
    os.chmod(site / "wp-content/uploads", 0o750)
    (target.directory / "quarantine/object-cache.php").write_text("<?php")
    owner = target.owner
    if owner:
        for where in (site, target.directory / "quarantine"):
            subprocess.run(["chown", "-hR", f"{owner.uid}:{owner.gid}", str(where)], check=True)
    return site


def test_everything_comes_back_in_the_same_clone_and_in_another(driver: HostDriver, clone: str) -> None:
    fill(driver, clone)
    site = files(driver, clone)
    was, had = database(driver, clone), tree(site)
    manifest = driver.snapshots.capture(driver.place(clone), clone, "made", facts={"name": "one"}, durable=True)
    assert database(driver, clone) == was, "capturing changes nothing"
    ways = {table.name: table.way for table in manifest.tables}
    assert {ways[name] for name in ("wp_posts", "small", "child", "parent", "log")} == {"space"}
    assert {ways[name] for name in ("old", "aria", "found", "made", "parts", "odd-näme", "places", "kinds")} == {"rows"}
    assert ways["numbers"] == "sequence"

    other = new_id("clone")
    driver.ensure(other)
    driver.snapshots.stage(clone, "made", driver.place(other))
    assert put_in_place(driver.place(other)) == []
    assert (database(driver, other), tree(driver.place(other).document_root)) == (was, had)
    uids = {path.lstat().st_uid for path in driver.place(other).document_root.rglob("*")}
    assert uids == {driver.place(other).owner.uid if driver.place(other).owner else os.geteuid()}  # type: ignore[union-attr]
    run(driver, other, "INSERT INTO parent VALUES (9)", "DELETE FROM parent WHERE id=1")
    assert run(driver, other, "SELECT what FROM log") == [(b"new 9",)], "triggers and routines run"
    assert run(driver, other, "SELECT id FROM child") == [(2,)], "foreign keys hold"
    assert run(driver, other, "INSERT INTO wp_posts (t) VALUES ('next')", "SELECT MAX(ID) FROM wp_posts") == [(4,)]
    assert run(driver, other, "SELECT id FROM found WHERE MATCH (x) AGAINST ('boats')") == [(1,)]
    assert run(driver, other, "SELECT NEXTVAL(numbers)")[0][0] > 10

    # the clone is changed in every way, and comes back
    run(
        driver,
        clone,
        "UPDATE wp_posts SET t='changed'",
        "DROP TABLE old",
        "CREATE TABLE newly (id INT)",
        "DROP VIEW a_view_of_view",
        "CREATE VIEW new_view AS SELECT 1",
        "DROP TRIGGER on_parent",
        "CREATE TRIGGER other BEFORE INSERT ON wp_posts FOR EACH ROW SET NEW.t='x'",
        "DROP FUNCTION plus_one",
        "ALTER TABLE parts ADD COLUMN more INT",
    )
    (site / "index.php").write_text("<?php // two, longer")
    shutil.rmtree(site / "wp-content/uploads")
    (site / "added").mkdir()
    (site / "outside").unlink()
    driver.snapshots.stage(clone, "made", driver.place(clone))
    assert run(driver, clone, "SELECT COUNT(*) FROM newly") == [(0,)], "nothing happens before the exchange"
    assert put_in_place(driver.place(clone)) == []
    assert (database(driver, clone), tree(site)) == (was, had)
    assert (driver.place(clone).directory / "quarantine/object-cache.php").read_text() == "<?php"
    assert not list(driver.place(clone).directory.glob(".[cg]*ing"))
    left = {name for name in driver.databases.names() if name.startswith(driver.place(clone).database)}
    assert left == {driver.place(clone).database}
    driver.destroy(other)


def test_a_clone_never_shares_a_file_with_its_snapshot(driver: HostDriver, clone: str) -> None:
    site = files(driver, clone)
    driver.snapshots.capture(driver.place(clone), clone, "made")
    with (site / "index.php").open("r+") as written:  # in place, as PHP does
        written.write("<?php // two")
    driver.snapshots.stage(clone, "made", driver.place(clone))
    put_in_place(driver.place(clone))
    with (site / "index.php").open("r+") as written:
        written.write("<?php // ten")
    driver.snapshots.stage(clone, "made", driver.place(clone))
    put_in_place(driver.place(clone))
    assert (site / "index.php").read_text() == "<?php // one"


def test_what_a_site_puts_in_the_way_is_not_followed(driver: HostDriver, clone: str) -> None:
    target = driver.place(clone)
    secret = target.directory.parent / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    site = target.document_root
    (site / "way").symlink_to(secret)
    os.mkfifo(site / "pipe")
    os.link(secret / "key", site / "linked")  # what a shared group might allow
    manifest = driver.snapshots.capture(target, clone, "made")
    assert (manifest.files, manifest.skipped) == (1, 1)
    (site / "way").unlink()
    (site / "way").mkdir()
    shutil.rmtree(site)
    site.symlink_to(secret)
    driver.snapshots.stage(clone, "made", target)
    put_in_place(target)
    assert not site.is_symlink()
    assert (site / "way").is_symlink()
    assert (site / "linked").stat().st_nlink == 1
    assert (secret / "key").read_text() == "secret"
    shutil.rmtree(secret)


def test_folders_without_an_end_are_refused(driver: HostDriver, clone: str) -> None:
    target = driver.place(clone)
    where = os.open(target.document_root, os.O_DIRECTORY)
    for _ in range(1200):
        os.mkdir("d" * 100, dir_fd=where)
        below = os.open("d" * 100, os.O_DIRECTORY, dir_fd=where)
        os.close(where)
        where = below
    os.close(where)
    with pytest.raises(SnapshotRefused, match="folders in each other"):
        driver.snapshots.capture(target, clone, "made")
    assert driver.snapshots.names(clone) == []
    assert not list((driver.snapshots.root / clone).glob(".making*"))


@pytest.mark.parametrize("what", ["content", "small", "space", "rows", "tree", "manifest", "missing", "no small"])
def test_a_damaged_snapshot_is_told_and_the_clone_stays_as_it_is(driver: HostDriver, clone: str, what: str) -> None:
    fill(driver, clone)
    site = files(driver, clone)
    driver.snapshots.capture(driver.place(clone), clone, "made")
    was, had = database(driver, clone), tree(site)
    folder = driver.snapshots.root / clone / "made"
    big = next(path for path in (folder / "files/0").iterdir() if path.stat().st_size > SMALL)
    damaged = {
        "content": big,
        "small": folder / "small",
        "no small": folder / "small",
        "space": folder / "tables/wp_posts.ibd",
        "rows": folder / "tables/0.rows",
        "tree": folder / "tree",
        "manifest": folder / "manifest.json",
        "missing": big,
    }[what]
    if what in ("missing", "no small"):
        damaged.unlink()
    else:
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.write_bytes(data)
    with pytest.raises(SnapshotDamaged):
        driver.snapshots.stage(clone, "made", driver.place(clone))
    assert (database(driver, clone), tree(site)) == (was, had)
    settle(driver.place(clone))
    assert not list(driver.place(clone).directory.glob(".coming"))


def test_rows_travel_where_the_data_folder_can_not_be_reached(
    driver: HostDriver, clone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(driver, clone)
    was = database(driver, clone)
    monkeypatch.setattr("services.cloner.drivers.host.snapshots.tables._data_folder", lambda cursor, database: None)
    manifest = driver.snapshots.capture(driver.place(clone), clone, "made")
    assert {table.way for table in manifest.tables} == {"rows", "sequence"}
    assert "rows are copied" in manifest.notes[0]
    run(driver, clone, "DELETE FROM wp_posts")
    driver.snapshots.stage(clone, "made", driver.place(clone))
    put_in_place(driver.place(clone))
    assert database(driver, clone) == was


KILLED = """
import os, signal, sys
from services.cloner.drivers.host import snapshots
from services.cloner.drivers.host.driver import HostDriver
from services.cloner.drivers.host.mariadb import CloneDatabases
from shared.cells.client import CellsClient
from pathlib import Path
socket, user, password, clones, control, clone, verb, die_at, beside = sys.argv[1:]
driver = HostDriver(clones=Path(clones), databases=CloneDatabases(Path(socket), user, Path(password)),
    edge_url="http://localhost:8080", cells=CellsClient(Path(control)))
left = int(die_at)
def die(event, frame_arguments):
    global left
    if event in ("os.rename", "os.remove", "os.mkdir", "subprocess.Popen") or event == "pymysql":
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
from pymysql.cursors import Cursor
executed = Cursor.execute
def execute(self, query, args=None):
    die("pymysql", None)
    return executed(self, query, args)
Cursor.execute = execute
target = driver.place(clone)
if verb == "capture":
    driver.snapshots.capture(target, clone, "second")
elif verb == "renew":
    driver.states.renew(clone, beside, keep=True, check=lambda: None)
else:
    driver.snapshots.stage(clone, "made", target)
    snapshots.put_in_place(target)
print("lived")
"""


def killed(driver: HostDriver, clone: str, verb: str, die_at: int, beside: str = "") -> bool:
    """Run it in a process that dies before its nth deed; whether it did."""
    databases: Any = driver.databases
    arguments = [
        str(databases.socket),
        databases._admin_user,
        str(databases._admin_password_file),
        str(driver.clones),
        str(driver.cells._control),
    ]
    command = [sys.executable, "-c", textwrap.dedent(KILLED), *arguments, clone, verb, str(die_at), beside]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL or done.stdout == "lived\n", done.stderr
    return done.returncode != 0


def test_killed_at_any_deed_a_clone_is_what_it_was_or_what_it_should_be(driver: HostDriver, clone: str) -> None:
    run(
        driver,
        clone,
        "CREATE TABLE t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
        "INSERT INTO t VALUES (1, 1)",
        "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.v=NEW.v+1",
    )
    target = driver.place(clone)
    (target.document_root / "state").write_text("old")
    driver.snapshots.capture(target, clone, "made")
    good = database(driver, clone)
    outcomes, die_at, lived = set(), 0, False
    while not lived:
        run(driver, clone, "UPDATE t SET v=2", "CREATE TABLE IF NOT EXISTS added (id INT)")
        (target.document_root / "state").write_text("new")
        edited = database(driver, clone)
        lived = not killed(driver, clone, "reset", die_at)
        forwards = settle(target)
        now = (database(driver, clone), (target.document_root / "state").read_text())
        assert now in ((edited, "new"), (good, "old")), f"neither, after {die_at} deeds"
        assert forwards <= (now == (good, "old"))
        assert not list(target.directory.glob(".[cg]*ing"))
        left = {name for name in driver.databases.names() if name.startswith(target.database)}
        assert left == {target.database}
        outcomes.add(now[1])
        die_at += 11
    assert outcomes == {"old", "new"}


def test_killed_at_any_deed_a_refreshed_clone_is_what_it_was_or_what_was_made_beside_it(
    driver: HostDriver, clone: str
) -> None:
    target, beside = driver.place(clone), new_id("clone")
    driver.ensure(beside)
    copy, address = driver.place(beside), {"WP_HOME": "http://copy", "WP_SITEURL": "http://copy"}
    copy.write_config(replace(CONFIG, prefix="new_", constants={**CONFIG.constants, **address}))
    names = f"CREATE TABLE t (v VARCHAR(90)) AS SELECT '{clone} {beside}' AS v"
    run(driver, beside, names)
    (copy.document_root / "state").write_text("new")
    outcomes, die_at, lived = set(), 0, False
    while not lived:
        run(driver, clone, "CREATE OR REPLACE TABLE t AS SELECT 'old' AS v", "CREATE OR REPLACE TABLE added (id INT)")
        (target.document_root / "state").write_text("old")
        (target.directory / RENEWED).unlink(missing_ok=True)
        target.write_config(CONFIG)
        driver.states.keep(clone, "made", facts={}, check=lambda: None, durable=False)
        lived = not killed(driver, clone, "renew", die_at, beside)
        took = driver.states.renewed(clone, beside, keep=True)
        held, state = database(driver, clone), (target.document_root / "state").read_text()
        constants = (target.directory / "guard" / "constants.php").read_text()
        assert ("new_" in (target.directory / "wp-config.php").read_text()) is took, die_at
        assert "WP_HOME" not in constants
        assert target.database in constants
        assert (state, "added" not in str(held)) == (("new", True) if took else ("old", False)), die_at
        assert not list(target.directory.glob(".[cg]*ing"))
        assert driver.snapshots.names(clone) == ["made"]
        assert {name for name in driver.databases.names() if name.startswith(target.database)} == {target.database}
        outcomes.add(took)
        die_at += 17
    assert outcomes == {True, False}
    assert run(driver, beside, "SELECT v FROM t") == [(f"{clone} {beside}".encode(),)], "the copy stays as it is"
    for _ in range(2):
        assert run(driver, clone, "SELECT v FROM t") == [(f"{clone} {clone}".encode(),)]
        run(driver, clone, "DELETE FROM t")
        driver.states.put_back(clone, "made", check=lambda: None)
    assert not driver.states.renewed(clone, new_id("clone"), keep=True), "another one's"
    driver.destroy(beside)


def test_killed_while_capturing_nothing_is_visible_and_a_sweep_clears_it(driver: HostDriver, clone: str) -> None:
    run(driver, clone, "CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB")
    die_at = 0
    while killed(driver, clone, "capture", die_at):
        assert driver.snapshots.names(clone) == []
        run(driver, clone, f"INSERT INTO t VALUES ({die_at})")  # nothing holds the table
        die_at += 29
    assert driver.snapshots.names(clone) == ["second"]
    (driver.snapshots.root / clone / ".making-third").mkdir()
    assert driver.snapshots.sweep(dry_run=True) == [f"{clone}/.making-third"]
    assert driver.snapshots.sweep() == [f"{clone}/.making-third"]
    assert driver.snapshots.sweep() == []
    assert os.listdir(driver.snapshots.root / clone) in (["second", ".lock"], [".lock", "second"])
    driver.snapshots.remove(clone, "second")
    with pytest.raises(NoSuchSnapshot):
        driver.snapshots.get(clone, "second")


def test_a_clones_snapshots_go_with_it(driver: HostDriver, clone: str) -> None:
    driver.snapshots.capture(driver.place(clone), clone, "made")
    assert driver.snapshots.owners() == [clone]
    assert driver.snapshots.size(clone) == 0
    driver.destroy(clone)
    assert driver.snapshots.owners() == []
    assert places.ready(driver.place(clone)) is False
    (driver.snapshots.root / clone).mkdir()  # what a death in the removal may leave
    assert clone in driver.ids()
    driver.destroy(clone)
    assert clone not in driver.ids()


def test_a_full_disk_is_told_and_nothing_stays(driver: HostDriver, clone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.wordpress.transfer.errors import TargetDiskFull

    files(driver, clone)
    resource_limit = 1_000_000
    wrote = os.write

    def write(descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_size > resource_limit:
            raise OSError(28, "No space left on device")
        return wrote(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(TargetDiskFull):
        driver.snapshots.capture(driver.place(clone), clone, "made")
    assert os.listdir(driver.snapshots.root / clone) == [".lock"]


def test_a_transaction_that_holds_a_table_delays_it_and_ends_in_words(
    driver: HostDriver, clone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.wordpress.transfer.errors import TargetDatabaseDown

    monkeypatch.setattr("services.cloner.drivers.host.snapshots.tables.LOCK_SECONDS", 1)
    run(driver, clone, "CREATE TABLE t (id INT PRIMARY KEY) ENGINE=InnoDB")
    with closing(driver.place(clone).connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(TargetDatabaseDown):
            driver.snapshots.capture(driver.place(clone), clone, "made")
    assert driver.snapshots.names(clone) == []
