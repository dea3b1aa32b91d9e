"""What every driver promises: the same tests on one machine and in a cluster, with real databases, PHP and Pods."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pymysql
import pytest

from services.cloner.errors import PathRefused
from shared.engine.room import NoRoom
from shared.ids import new_id
from shared.wordpress.connector.protocol import Frame
from shared.wordpress.errors import ImplausibleSite
from shared.wordpress.transfer.files import Arrangement, Received
from tests.contract.houses import CONFIG, HostHouse, House, PodHouse
from tests.integration.house import eventually
from tests.unit.test_transfer_files import file, link

pytestmark = pytest.mark.timeout(900)  # a node may have to be waited for
ROOT = Arrangement({"abspath": b""}, b"wp-content", b"wp-content/mu-plugins")


@pytest.fixture(scope="module", params=["host", "kubernetes"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    """Where clones of one driver are; the second is skipped, and says so, where no Pod can run."""
    if request.param == "host":
        with HostHouse.running() as made:
            yield made
    else:
        with PodHouse.running(request.getfixturevalue("cluster")) as made:
            yield made


@pytest.fixture(scope="module")
def clone(house: House) -> Iterator[str]:
    """One that is there, for tests that leave it as it was."""
    made = new_id("clone")
    house.driver.ensure(made)
    house.driver.place(made).write_config(CONFIG)
    yield made
    house.driver.destroy(made)


def query(house: House, clone_id: str, statement: str) -> tuple[tuple[bytes, ...], ...]:
    with closing(house.driver.place(clone_id).connect()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return tuple(cursor.fetchall())


def test_ensure_twice_is_ensure_once(house: House, clone: str) -> None:
    query(house, clone, "CREATE TABLE kept (id INT)")
    house.driver.ensure(clone)
    assert query(house, clone, "SHOW TABLES") == ((b"kept",),)
    assert clone in house.driver.ids()


def test_destroy_leaves_nothing_of_a_clone_in_use_and_may_be_repeated(house: House) -> None:
    clone = new_id("clone")
    house.driver.ensure(clone)
    connection = house.driver.place(clone).connect()
    assert house.left(clone)
    house.driver.destroy(clone)
    house.driver.destroy(clone)
    with pytest.raises(pymysql.MySQLError):
        connection.ping(reconnect=False)
    assert clone not in house.driver.ids()
    eventually(lambda: not house.left(clone), timeout=60, what="the end of what it owned")


def test_never_more_clones_than_there_may_be(house: House) -> None:
    """Five ask at once for the two places that are left: two get one, and what exists is never refused."""
    first, others = new_id("clone"), set(house.driver.ids())
    house.driver.ensure(first)
    wanted = [new_id("clone") for _ in range(5)]
    with house.few(len(others) + 3) as few:

        def got(clone: str) -> bool:
            try:
                few.ensure(clone)
            except NoRoom:
                return False
            return True

        with ThreadPoolExecutor(5) as pool:
            made = [clone for clone, is_there in zip(wanted, pool.map(got, wanted), strict=True) if is_there]
        assert len(made) == 2
        places = few.places()
        assert places is not None
        assert (places.limit, places.taken) == (len(others) + 3, {first, *made, *others})
        few.ensure(first)
        few.destroy(made[0])
        assert got(next(clone for clone in wanted if clone not in made))
    assert house.driver.places() is None
    for clone in set(house.driver.ids()) - others:
        house.driver.destroy(clone)


def test_a_clones_user_has_rights_on_its_own_database_only(house: House, clone: str) -> None:
    database = house.driver.place(clone).database
    assert {row[0] for row in query(house, clone, "SHOW DATABASES")} == {b"information_schema", database.encode()}
    # an underscore in a GRANT is a wildcard unless it is escaped
    for other in ("mysql", "sf_0000000000000000", database.replace("_", "x", 1)):
        for statement in (f"CREATE DATABASE {other}", f"CREATE TABLE {other}.x (id INT)"):
            with pytest.raises(pymysql.MySQLError, match="denied"):
                query(house, clone, statement)
    for statement in ("SELECT 1 INTO OUTFILE '/tmp/x'", "SET GLOBAL max_connections = 1"):
        with pytest.raises(pymysql.MySQLError):
            query(house, clone, statement)


def test_files_arrive_and_none_outside_of_the_clone(house: House, clone: str) -> None:
    received = Received()
    sink = house.driver.place(clone).sink(ROOT, received)
    with closing(sink):
        for frame in (
            *file(b"wp-content/na\xefve\xff.css", b"x" * 300_000, mode=0o640),
            *file(b"wp-content/object-cache.php", b"<?php"),
            link(b"good", b"wp-content"),
            link(b"bad", b"../../.."),
        ):
            sink.feed(frame)
        sink.cut()
        for frame in file(b"wp-content/big", b"01234", size=9)[:2]:  # the response ends in the middle of it
            sink.feed(frame)
        sink.cut()
        for frame in file(b"wp-content/big", b"5678", offset=5, size=9):
            sink.feed(frame)
        sink.cut()
        sink.settle()
    site = house.inside(clone) / "site"
    made = os.fsencode(site / "wp-content") + b"/na\xefve\xff.css"
    with open(made, "rb") as written:
        assert written.read() == b"x" * 300_000
    assert os.stat(made).st_mode & 0o777 == 0o640
    assert (site / "wp-content" / "big").read_bytes() == b"012345678"
    assert (house.inside(clone) / "quarantine/wp-content/object-cache.php").exists()
    assert not (site / "wp-content" / "object-cache.php").exists()
    assert (site / "good").is_symlink()
    assert not (site / "bad").is_symlink()
    assert (received.files, received.counts["symlink_outside"]) == (3, 1)
    assert received.quarantined == ["wp-content/object-cache.php"]


def test_what_no_connector_of_ours_sends_is_refused(house: House, clone: str) -> None:
    def send(frames: list[Frame]) -> None:
        with closing(house.driver.place(clone).sink(ROOT, Received())) as sink:
            for frame in frames:
                sink.feed(frame)
            sink.cut()

    for bad in (file(b"../../x", b"1"), file(b"x", b"more than said", size=3)):
        with pytest.raises(ImplausibleSite):
            send(bad)


def test_no_place_for_what_is_no_clone_id(house: House) -> None:
    for bad in ("", "clone-", "clone-../../etc", "clone-UPPERCASEUPPERCA", "restore"):
        with pytest.raises(ValueError, match="not a clone id"):
            house.driver.place(bad)


@pytest.mark.parametrize("bad", ["../other", "/etc", "wp/../../other", "..", "a/..", "wp\0"])
def test_no_folder_outside_of_the_document_root(house: House, clone: str, bad: str) -> None:
    """What the source's connector says of its folders is a stranger's word."""
    before = (house.inside(clone) / "wp-config.php").read_text()
    for wrong in (replace(CONFIG, wordpress_path=bad), replace(CONFIG, content_path=bad)):
        with pytest.raises(PathRefused):
            house.driver.place(clone).write_config(wrong)
    assert (house.inside(clone) / "wp-config.php").read_text() == before


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


@pytest.fixture
def box(house: House, clone: str) -> Path:
    """The clone's mail box, empty."""
    folder = house.inside(clone) / "mail"
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return folder


def give(house: House, clone: str, box: Path) -> None:
    """As if the clone's PHP had written it."""
    if os.geteuid() == 0:
        for path in box.iterdir():
            os.chown(path, house.account(clone), house.account(clone), follow_symlinks=False)


@pytest.mark.parametrize("what", HOSTILE_BOX)
def test_a_mail_box_that_the_site_has_prepared(house: House, clone: str, box: Path, what: str) -> None:
    (box / "99999.json").write_text('{"to": ["a@b.example"], "subject": "fine", "body": "text", "time": "t"}')
    HOSTILE_BOX[what](box)
    give(house, clone, box)
    mails = house.driver.mails(clone)
    assert [mail.to for mail in mails if mail.subject == "fine"] == [["a@b.example"]]
    assert len(mails) <= 500
    assert sum(len(mail.body) for mail in mails) < 1_000_000
    assert "root:" not in str(mails)


def test_a_raw_message_is_read_with_its_parts(house: House, clone: str, box: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["To"], message["Date"] = "Ahoi, Käpt’n", "crew@ship.example", "Mon, 1 Jun 2026 10:00:00"
    message.set_content("Grüße von Bord\n")
    message.add_attachment(b"x", maintype="application", subtype="pdf", filename="map.pdf")
    (box / "1.eml").write_bytes(bytes(message))
    give(house, clone, box)
    (mail,) = house.driver.mails(clone)
    assert (mail.subject, mail.to) == ("Ahoi, Käpt’n", ["crew@ship.example"])
    assert mail.body.strip() == "Grüße von Bord"
    assert mail.attachments == ["map.pdf"]


def test_a_clone_that_is_not_there(house: House) -> None:
    nobody = new_id("clone")
    assert house.driver.mails(nobody) == []
    with pytest.raises(OSError, match=nobody):
        house.driver.login_link(nobody, "admin")
    house.driver.destroy(nobody)
