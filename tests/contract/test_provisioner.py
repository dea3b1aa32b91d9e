"""What every driver promises, on a real MariaDB."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pymysql
import pytest

from services.cloner.drivers.host import HostDriver
from services.cloner.drivers.host.mariadb import CloneDatabases
from services.cloner.drivers.port import SiteConfig
from services.cloner.errors import PathRefused
from shared.cells.client import CellsClient
from shared.engine.room import NoRoom
from shared.ids import new_id
from siteferry.embedded.servers import Cells, MariaDB, running
from tests.integration.house import place

CONFIG = SiteConfig(
    prefix="wp_",
    charset="utf8mb4",
    collate="",
    constants={"WP_POST_REVISIONS": 3, "WPLANG": "it's \\ here"},
    wordpress_path="",
    content_path=None,
    source_host="shop.example",
    quarantined_plugins=("sg-cachepress/sg-cachepress.php",),
)

PRINT_CONSTANTS = """
    eval(explode("require_once '" . dirname($argv[1]) . "/guard/guard.php", substr(file_get_contents($argv[1]), 5))[0]);
    echo WPLANG, '|', DB_NAME, '|', WP_POST_REVISIONS + 1, '|', $table_prefix;
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[HostDriver]:
    with place() as directory, running(MariaDB(directory / "mariadb")) as mariadb:
        databases = CloneDatabases(mariadb.socket, mariadb.admin_user, mariadb.admin_password_file)
        clones = directory / "clones"
        clones.mkdir(mode=0o711)
        with running(Cells(directory / "cells", clones, mariadb_socket=str(mariadb.socket))) as cells:
            client = CellsClient(cells.control)
            yield HostDriver(clones=clones, databases=databases, edge_url="http://localhost:8080", cells=client)


def query(driver: HostDriver, clone_id: str, statement: str) -> tuple[tuple[bytes, ...], ...]:
    connection = driver.place(clone_id).connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return tuple(cursor.fetchall())
    finally:
        connection.close()


def test_ensure_twice_is_ensure_once(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    query(driver, clone, "CREATE TABLE kept (id INT)")
    driver.ensure(clone)
    assert query(driver, clone, "SHOW TABLES") == ((b"kept",),)
    assert clone in driver.ids()
    driver.destroy(clone)


def test_destroy_leaves_nothing_and_may_be_repeated(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    driver.destroy(clone)
    driver.destroy(clone)
    assert clone not in driver.ids()
    assert not driver.place(clone).directory.exists()
    assert not [name for name in driver.databases.names() if name.endswith(clone[-16:])]


def test_destroy_removes_a_clone_in_use(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    connection = driver.place(clone).connect()
    driver.destroy(clone)
    with pytest.raises(pymysql.MySQLError):
        connection.ping(reconnect=False)
    assert clone not in driver.ids()


def test_never_more_clones_than_there_may_be(driver: HostDriver) -> None:
    """Eight ask at once for the two places that are left: two get one, and what exists is never refused."""
    first = new_id("clone")
    driver.ensure(first)
    few = replace(driver, most=3)
    wanted = [new_id("clone") for _ in range(8)]

    def got(clone: str) -> bool:
        try:
            few.ensure(clone)
        except NoRoom:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        made = [clone for clone, is_there in zip(wanted, pool.map(got, wanted), strict=True) if is_there]
    assert len(made) == 2
    places = few.places()
    assert places is not None
    assert (places.limit, places.taken) == (3, {first, *made})
    few.ensure(first)
    few.destroy(made[0])
    assert got(next(clone for clone in wanted if clone not in made))
    assert driver.places() is None
    for clone in driver.ids():
        driver.destroy(clone)


@pytest.mark.parametrize("left", ["directory", "database"])
def test_ids_show_halves(driver: HostDriver, left: str) -> None:
    """The sweeper must find what a crash left, whichever half it is."""
    clone = new_id("clone")
    driver.ensure(clone)
    target = driver.place(clone)
    if left == "directory":
        driver.databases.drop(target.database)
    else:
        subprocess.run(["rm", "-rf", str(target.directory)], check=True)
    assert clone in driver.ids()
    driver.destroy(clone)
    assert clone not in driver.ids()


def test_a_clones_user_has_rights_on_its_own_database_only(driver: HostDriver) -> None:
    mine, other = new_id("clone"), new_id("clone")
    driver.ensure(mine)
    driver.ensure(other)
    databases = {row[0] for row in query(driver, mine, "SHOW DATABASES")}
    assert databases == {b"information_schema", driver.place(mine).database.encode()}
    with pytest.raises(pymysql.MySQLError, match="denied"):
        query(driver, mine, f"CREATE TABLE {driver.place(other).database}.x (id INT)")
    # an underscore in a GRANT is a wildcard unless it is escaped
    lookalike = driver.place(mine).database.replace("_", "x", 1)
    with pytest.raises(pymysql.MySQLError, match="denied"):
        query(driver, mine, f"CREATE DATABASE {lookalike}")
    for clone in (mine, other):
        driver.destroy(clone)


def test_generated_configuration_is_valid_php_with_new_salts(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    target = driver.place(clone)
    target.write_config(CONFIG)
    first = (target.directory / "guard" / "constants.php").read_text()
    for path in [target.directory / "wp-config.php", *(target.directory / "guard").glob("*.php")]:
        done = subprocess.run(["php", "-l", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    shown = subprocess.run(
        ["php", "-r", PRINT_CONSTANTS, str(target.directory / "wp-config.php")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"it's \\ here|{target.database}|4|wp_"
    target.write_config(CONFIG)
    assert first != (target.directory / "guard" / "constants.php").read_text(), "salts are made anew"
    driver.destroy(clone)


def test_no_place_for_what_is_no_clone_id(driver: HostDriver) -> None:
    for bad in ("", "clone-", "clone-../../etc", "clone-UPPERCASEUPPERCA", "restore"):
        with pytest.raises(ValueError, match="not a clone id"):
            driver.place(bad)


@pytest.mark.parametrize("bad", ["../other", "/etc", "wp/../../other", "..", "a/..", "wp\0"])
def test_no_folder_outside_of_the_document_root(driver: HostDriver, bad: str) -> None:
    """What the source's connector says of its folders is a stranger's word."""
    clone = new_id("clone")
    driver.ensure(clone)
    for wrong in (replace(CONFIG, wordpress_path=bad), replace(CONFIG, content_path=bad)):
        with pytest.raises(PathRefused):
            driver.place(clone).write_config(wrong)
    assert not (driver.place(clone).directory / "wp-config.php").exists()
    driver.destroy(clone)


def test_every_clone_has_an_account_of_its_own(driver: HostDriver) -> None:
    first, second = new_id("clone"), new_id("clone")
    driver.ensure(first)
    driver.ensure(second)
    owners = [driver.place(clone).owner for clone in (first, second)]
    if os.geteuid() == 0:
        assert len({owner.uid for owner in owners if owner}) == 2
        driver.ensure(first)
        assert driver.place(first).owner == owners[0]
        site = driver.place(first).document_root.stat()
        assert (site.st_uid, site.st_mode & 0o077) == (owners[0].uid, 0)
    else:
        assert owners == [None, None]
    for clone in (first, second):
        driver.destroy(clone)


HOSTILE_BOX = {
    "a link": lambda box: (box / "9.json").symlink_to("/etc/passwd"),
    "a link to a directory": lambda box: (box / "9.eml").symlink_to("/"),
    "a FIFO": lambda box: os.mkfifo(box / "9.json"),
    "a directory": lambda box: (box / "9.json").mkdir(),
    "a file of 1.5 GB": lambda box: os.truncate(_made(box / "9.eml"), 1_500_000_000),
    "deep JSON": lambda box: (box / "9.json").write_text("[" * 100_000),
    "not an object": lambda box: (box / "9.json").write_text("3"),
    "no text": lambda box: (box / "9.eml").write_bytes(bytes(range(256)) * 100),
    "odd values": lambda box: (box / "9.json").write_text('{"to": {"a": [1]}, "subject": 7, "headers": [null, {}]}'),
    "many files": lambda box: [(box / f"{n}.json").write_text('{"subject": "x"}') for n in range(3000)] and None,
}


def _made(path: Path) -> Path:
    path.write_bytes(b"Subject: large\n\n")
    return path


@pytest.mark.parametrize("what", HOSTILE_BOX)
def test_a_mail_box_that_the_site_has_prepared(driver: HostDriver, what: str) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    target = driver.place(clone)
    target.write_config(CONFIG)
    box = target.directory / "mail"
    (box / "99999.json").write_text('{"to": ["a@b.example"], "subject": "fine", "body": "text", "time": "t"}')
    HOSTILE_BOX[what](box)
    if target.owner:
        for path in box.iterdir():
            os.chown(path, target.owner.uid, target.owner.gid, follow_symlinks=False)
    mails = driver.mails(clone)
    assert [mail.to for mail in mails if mail.subject == "fine"] == [["a@b.example"]]
    assert len(mails) <= 500
    assert sum(len(mail.body) for mail in mails) < 1_000_000
    assert "root:" not in str(mails)
    driver.destroy(clone)


def test_a_raw_message_is_read_with_its_parts(driver: HostDriver) -> None:
    clone = new_id("clone")
    driver.ensure(clone)
    target = driver.place(clone)
    target.write_config(CONFIG)
    message = EmailMessage()
    message["Subject"], message["To"], message["Date"] = "Ahoi, Käpt’n", "crew@ship.example", "Mon, 1 Jun 2026 10:00:00"
    message.set_content("Grüße von Bord\n")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="map.pdf")
    path = target.directory / "mail" / "1.eml"
    path.write_bytes(bytes(message))
    if target.owner:
        os.chown(path, target.owner.uid, target.owner.gid)
    (mail,) = driver.mails(clone)
    assert (mail.subject, mail.to) == ("Ahoi, Käpt’n", ["crew@ship.example"])
    assert mail.body.strip() == "Grüße von Bord"
    assert mail.attachments == ["map.pdf"]
    driver.destroy(clone)
